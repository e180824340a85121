//! Read tokens: one generation, for a while, to look at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode as HttpStatus;
use axum::routing::post;
use longhand::{App, Clock, Config, Scope, StreamJob};
use longhand_local::{Options, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Api, Harness, PATIENCE, environment, key_of};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::access::keys::{key, start};

async fn token(api: &Api, id: &str, body: &Value) -> (StatusCode, Value) {
    let request = api.http.post(api.url_of(&format!("/v1/generations/{id}/tokens"))).json(body);
    api.send(request.build().unwrap()).await
}

async fn good_token(api: &Api, id: &str) -> String {
    let (status, answer) = api.create_token(id).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn token_reads_one_generation_only() {
    let (harness, _playback, _) = start().await;
    let (id, other) = (harness.start_generation(json!({})).await, harness.start_generation(json!({})).await);
    for id in [&id, &other] {
        harness.ended(id).await;
    }
    let reader = harness.with_key(&good_token(&harness, &id).await);
    let status = async |path: String| reader.status("GET", &path).await;
    let resp = |id: &str| id.replace("gen_", "resp_");
    let paths = |id: &str| {
        let events = format!("/v1/generations/{id}/events?after=1");
        let ways = ["", "/progress", "/output"].map(|way| format!("/v1/generations/{id}{way}"));
        let mut paths = vec![events, format!("/v1/stream/generations/{id}?offset=-1"), format!("/v1/responses/{}", resp(id))];
        paths.extend(ways);
        paths
    };
    for path in paths(&id) {
        assert_eq!(status(path.clone()).await, StatusCode::OK, "{path}");
    }
    assert_eq!(reader.status("HEAD", &format!("/v1/stream/generations/{id}")).await, StatusCode::OK);
    for path in paths(&other) {
        assert_eq!(status(path.clone()).await, StatusCode::FORBIDDEN, "{path}");
    }
    for (method, path) in [
        ("GET", "/v1/generations".to_owned()),
        ("GET", format!("/v1/responses/{}/input_items", resp(&id))),
        ("POST", "/v1/generations".to_owned()),
        ("POST", "/v1/responses".to_owned()),
        ("POST", format!("/v1/generations/{id}/cancel")),
        ("POST", format!("/v1/generations/{id}/tokens")),
        ("POST", format!("/v1/responses/{}/cancel", resp(&id))),
        ("DELETE", format!("/v1/responses/{}", resp(&id))),
    ] {
        assert_eq!(reader.status(method, &path).await, StatusCode::FORBIDDEN, "{method} {path}");
    }
    let (_, problem) = reader.get(&format!("generations/{other}")).await;
    assert_eq!(problem["detail"], format!("this token is for reading {id}, and nothing else"));
    harness.finish().await;
}

#[tokio::test]
async fn token_in_the_query_opens_the_event_routes_only() {
    let (harness, _playback, clock) = start().await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let token = good_token(&harness, &id).await;
    let (_, key) = key(&harness, "local", &[Scope::Read], None).await;
    let get = async |path: &str, credential: &str| {
        let url = harness.url_of(&format!("{path}{}token={credential}", if path.contains('?') { '&' } else { '?' }));
        let request = reqwest::Client::new().get(url).header("accept", "text/event-stream");
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let events = format!("/v1/generations/{id}/events");
    let (status, text) = get(&events, &token).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert!(text.starts_with("event: created\n") && text.contains("event: completed\n"), "{text}");
    assert_eq!(get(&format!("/v1/stream/generations/{id}?offset=-1"), &token).await.0, StatusCode::OK);
    let other = harness.start_generation(json!({})).await;
    assert_eq!(get(&format!("/v1/generations/{other}/events"), &token).await.0, StatusCode::FORBIDDEN);
    for bad in ["", "lht_e30.AAAA", key.reveal()] {
        let (status, text) = get(&events, bad).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{bad}: {text}");
        assert!(bad.is_empty() || !text.contains(bad), "{text}");
    }
    for path in [format!("/v1/generations/{id}"), format!("/v1/generations/{id}/output"), "/v1/generations".to_owned()] {
        assert_eq!(get(&path, &token).await.0, StatusCode::UNAUTHORIZED, "{path} takes headers only");
    }
    // A header goes first, and neither admits the other: the gateway caches nothing at these routes.
    let with = harness.with_key(key.reveal());
    assert_eq!(with.status("GET", &format!("{events}?token=nonsense")).await, StatusCode::OK);
    assert_eq!(get(&events, "nonsense").await.0, StatusCode::UNAUTHORIZED);
    clock.advance(Duration::from_mins(16));
    assert_eq!(get(&events, &token).await.0, StatusCode::UNAUTHORIZED, "it has expired");
    harness.finish().await;
}

#[tokio::test]
async fn token_ends_with_its_lifetime_and_key() {
    let (harness, _playback, clock) = start().await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let path = format!("generations/{id}");
    let (_, answer) = token(&harness, &id, &json!({ "expires_in": 60 })).await;
    let short = harness.with_key(answer["token"].as_str().unwrap());
    let (maker, secret) = key(&harness, "local", &[Scope::Read], None).await;
    let lasting = harness.with_key(&good_token(&harness.with_key(secret.reveal()), &id).await);
    let (_, passing) = key(&harness, "local", &[Scope::Read], Some(Duration::from_secs(30))).await;
    let bound = harness.with_key(&good_token(&harness.with_key(passing.reveal()), &id).await);
    for reader in [&short, &lasting, &bound] {
        assert_eq!(reader.get(&path).await.0, StatusCode::OK);
    }
    clock.advance(Duration::from_secs(31));
    assert_eq!(bound.get(&path).await.0, StatusCode::UNAUTHORIZED, "its key has expired");
    assert_eq!(short.get(&path).await.0, StatusCode::OK);
    clock.advance(Duration::from_secs(30));
    assert_eq!(short.get(&path).await.0, StatusCode::UNAUTHORIZED, "API Gateway remembers it, and yet it is over");
    let app = harness.stack.app().await.unwrap();
    app.revoke_key(&"local".parse().unwrap(), &maker.parse().unwrap()).await.unwrap();
    clock.advance(Duration::from_mins(6));
    assert_eq!(lasting.get(&path).await.0, StatusCode::UNAUTHORIZED, "its key was revoked");
    harness.finish().await;
}

#[tokio::test]
async fn invalid_token_requests_are_refused() {
    let (harness, _playback, _) = start().await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let wrong = "/expires_in must be a whole number of seconds from 1 to 86400";
    for (body, expected) in [
        (json!({ "expires_in": 0 }), wrong),
        (json!({ "expires_in": 86_401 }), wrong),
        (json!({ "expires_in": "900" }), wrong),
        (json!({ "expires_in": 1.5 }), wrong),
        (json!({ "organization": "globex" }), "/organization is not a known field"),
        (json!([]), "the body must be a JSON object"),
    ] {
        let (status, problem) = token(&harness, &id, &body).await;
        assert_eq!(
            (status, &problem["detail"]),
            (StatusCode::BAD_REQUEST, &json!(format!("the request is not valid: {expected}")))
        );
    }
    let (_, other) = key(&harness, "globex", &Scope::ALL, None).await;
    let (status, problem) = token(&harness.with_key(other.reveal()), &id, &json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    harness.finish().await;
}

#[tokio::test]
async fn token_of_another_signing_key_is_refused() {
    let playback = play(Script::new(["Hola"])).unwrap();
    let env = environment(playback.base_url(), &[("LONGHAND_TOKEN_KEY", "one")]);
    let harness = Harness::with(Options { authorize: true, env, ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let own = good_token(&harness, &id).await;
    assert_eq!(harness.with_key(&own).get(&format!("generations/{id}")).await.0, StatusCode::OK);
    let mut environment: BTreeMap<String, String> = harness.stack.environment("authorize");
    environment.insert("LONGHAND_TOKEN_KEY".into(), "two".into());
    let config = Config::from_vars(&|name| environment.get(name).cloned()).unwrap();
    let other = harness.app(config, Clock::system()).await;
    assert!(other.authorize(&own).await.unwrap().is_none());
    let forged = other.create_read_token(&key_of(&id), None, b"").await.unwrap().token;
    assert_eq!(harness.with_key(&forged).get(&format!("generations/{id}")).await.0, StatusCode::UNAUTHORIZED);
    harness.finish().await;
}

/// A Secrets Manager that has one secret: its versions, the current one first.
pub async fn secrets_manager(versions: Arc<Mutex<Vec<&'static str>>>) -> String {
    let answer = async move |body: String| {
        let asked: Value = serde_json::from_str(&body).unwrap();
        let place = usize::from(asked["VersionStage"] == "AWSPREVIOUS");
        match versions.lock().unwrap().get(place) {
            Some(secret) => (HttpStatus::OK, json!({ "Name": asked["SecretId"], "SecretString": secret }).to_string()),
            None => (HttpStatus::BAD_REQUEST, json!({ "__type": "ResourceNotFoundException" }).to_string()),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test]
async fn token_outlives_one_rotation() {
    let (harness, _playback, clock) = start().await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let versions = Arc::new(Mutex::new(vec!["one"]));
    let mut environment = harness.stack.environment("authorize");
    environment.insert("AWS_ENDPOINT_URL_SECRETS_MANAGER".into(), secrets_manager(versions.clone()).await);
    environment.remove("LONGHAND_TOKEN_KEY");
    let app = async || {
        let config = Config::from_vars(&|name| environment.get(name).cloned()).unwrap();
        harness.app(config, clock.clone()).await
    };
    let sign = async |app: &App| app.create_read_token(&key_of(&id), None, b"{}").await.unwrap().token;
    let verifier = app().await;
    let first = sign(&app().await).await;
    assert!(verifier.authorize(&first).await.unwrap().is_some());

    *versions.lock().unwrap() = vec!["two", "one"];
    let second = sign(&app().await).await;
    clock.advance(Duration::from_secs(11));
    assert!(verifier.authorize(&second).await.unwrap().is_some(), "a function that knows the old key looks again");
    assert!(app().await.authorize(&first).await.unwrap().is_some(), "the one before still opens");

    *versions.lock().unwrap() = vec!["three", "two"];
    assert!(app().await.authorize(&second).await.unwrap().is_some());
    assert!(app().await.authorize(&first).await.unwrap().is_none());
    clock.advance(Duration::from_mins(6));
    assert!(verifier.authorize(&first).await.unwrap().is_none());
    harness.finish().await;
}

/// A Secrets Manager in which reads of the secret `slow` wait for `goes_on`; each read is counted by its secret's name.
async fn slow_secrets_manager(goes_on: Arc<Notify>, reads: Arc<Mutex<Vec<String>>>) -> String {
    let answer = async move |body: String| {
        let asked: Value = serde_json::from_str(&body).unwrap();
        let name = asked["SecretId"].as_str().unwrap().to_owned();
        reads.lock().unwrap().push(name.clone());
        if name == "slow" {
            goes_on.notified().await;
            goes_on.notify_one();
        }
        json!({ "Name": name, "SecretString": "text" }).to_string()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/", post(answer))).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_secret_is_read_once_and_delays_no_other() {
    let playback = play(Script::new(["Hola"])).unwrap();
    let env = environment(playback.base_url(), &[("LONGHAND_STREAM_FUNCTION", "nobody")]);
    let harness = Harness::without(&["EveryMinute"], Options { env, ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    let (goes_on, reads) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
    let mut environment = harness.stack.environment("stream");
    let url = slow_secrets_manager(Arc::clone(&goes_on), Arc::clone(&reads)).await;
    environment.insert("AWS_ENDPOINT_URL_SECRETS_MANAGER".into(), url);
    environment.insert("LONGHAND_TOKEN_SECRET".into(), "slow".into());
    environment.remove("LONGHAND_TOKEN_KEY");
    let providers = json!({ "test": { "base_url": playback.base_url(), "key_secret": "fast" } });
    environment.insert("LONGHAND_PROVIDERS".into(), providers.to_string());
    let app = harness.app(Config::from_vars(&|name| environment.get(name).cloned()).unwrap(), Clock::system()).await;
    let tokens: Vec<_> = (0..4)
        .map(|_| {
            let (app, key) = (app.clone(), key_of(&id));
            tokio::spawn(async move { app.create_read_token(&key, None, b"").await.unwrap().token })
        })
        .collect();
    while reads.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    timeout(PATIENCE, app.stream(&StreamJob::new(&key_of(&id)), None)).await.expect("the other secret is read").unwrap();
    goes_on.notify_one();
    for token in tokens {
        token.await.unwrap();
    }
    assert_eq!(reads.lock().unwrap().iter().filter(|name| *name == "slow").count(), 2, "the current version and the previous");
    harness.ended(&id).await;
    harness.finish().await;
}

#[tokio::test]
async fn token_reads_and_marks_one_users_notifications_only() {
    let (harness, _playback, clock) = start().await;
    let id = harness.start_generation(json!({ "notify": { "users": ["ada@example.com", "bob"] } })).await;
    harness.ended(&id).await;
    let of = |path: &str| format!("/v1/{path}");
    let post = async |api: &Api, path: &str, body: &Value| {
        api.send(api.http.post(api.url_of(&of(path))).json(body).build().unwrap()).await
    };
    let (status, token) = post(&harness, "notifications/tokens", &json!({ "user": "ada@example.com", "expires_in": 60 })).await;
    assert_eq!((status, &token["user"], &token["generation"]), (StatusCode::CREATED, &json!("ada@example.com"), &Value::Null));
    let ada = harness.with_key(token["token"].as_str().unwrap());
    let began = std::time::Instant::now();
    let list = loop {
        let (status, list) = ada.get("notifications?unread=true").await;
        assert_eq!(status, StatusCode::OK, "{list}");
        if list["unread"] == 1 {
            break list;
        }
        assert!(began.elapsed() < PATIENCE, "{list}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((&list["user"], &list["data"][0]["type"]), (&json!("ada@example.com"), &json!("generation.completed")));
    assert_eq!(ada.status("GET", "/v1/notifications?user=ada@example.com").await, StatusCode::OK);
    let (status, marked) = post(&ada, "notifications/read", &json!({ "all": true })).await;
    assert_eq!((status, &marked["read"], &marked["unread"]), (StatusCode::OK, &json!(1), &json!(0)));
    // Neither another's, nor anything else.
    for (method, path) in [
        ("GET", "notifications?user=bob".to_owned()),
        ("POST", "notifications/read?user=bob".to_owned()),
        ("DELETE", "notifications".to_owned()),
        ("GET", "notifications/preferences".to_owned()),
        ("PUT", "notifications/preferences".to_owned()),
        ("POST", "notifications/tokens".to_owned()),
        ("GET", "generations".to_owned()),
        ("GET", format!("generations/{id}")),
        ("GET", format!("generations/{id}/events")),
        ("GET", "batches".to_owned()),
        ("GET", "webhooks".to_owned()),
        ("GET", "usage".to_owned()),
        ("POST", "generations".to_owned()),
        ("POST", "uploads".to_owned()),
    ] {
        let body = json!({ "all": true });
        let request = ada.http.request(method.parse().unwrap(), ada.url_of(&of(&path)));
        let request = if method == "POST" { request.json(&body) } else { request };
        assert_eq!(ada.send(request.build().unwrap()).await.0, StatusCode::FORBIDDEN, "{method} {path}");
    }
    let (_, problem) = ada.get("batches").await;
    assert_eq!(problem["detail"], "this token is for the notifications of ada@example.com, and nothing else");
    // A token for a generation opens no list.
    let generation = harness.with_key(&good_token(&harness, &id).await);
    assert_eq!(generation.status("GET", "/v1/notifications?user=ada@example.com").await, StatusCode::FORBIDDEN);
    // Who may read makes tokens for its own list, and an admin for anybody's.
    let (_, reader) = key(&harness, "local", &[Scope::Read], None).await;
    let reader = harness.with_key(reader.reveal());
    assert_eq!(post(&reader, "notifications/tokens", &json!({})).await.0, StatusCode::CREATED);
    assert_eq!(post(&reader, "notifications/tokens", &json!({ "user": "bob" })).await.0, StatusCode::FORBIDDEN);
    for wrong in [json!({ "user": "a b" }), json!({ "user": 7 }), json!({ "expires_in": 0 }), json!({ "users": [] })] {
        assert_eq!(post(&harness, "notifications/tokens", &wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    clock.advance(Duration::from_secs(61));
    assert_eq!(ada.status("GET", "/v1/notifications").await, StatusCode::UNAUTHORIZED);
    harness.finish().await;
}

#[tokio::test]
async fn token_of_an_organization_reads_all_of_it_and_changes_nothing() {
    let (harness, _playback, clock) = start().await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let post = async |api: &Api, path: &str, body: &Value| {
        api.send(api.http.post(api.url_of(&format!("/v1/{path}"))).json(body).build().unwrap()).await
    };
    let (status, token) = post(&harness, "tokens", &json!({ "scope": "read", "expires_in": 60 })).await;
    assert_eq!((status, &token["scope"], token.get("generation")), (StatusCode::CREATED, &json!("read"), None));
    let reader = harness.with_key(token["token"].as_str().unwrap());
    let generation = format!("generations/{id}");
    for path in
        ["generations", &generation, "batches", "runs", "subjects", "pipelines", "webhooks", "usage", "quota", "notifications"]
    {
        assert_eq!(reader.status("GET", &format!("/v1/{path}")).await, StatusCode::OK, "{path}");
    }
    // What is written in a query may be logged on its way: too much for a token that reads everything.
    let query = format!("{generation}/events?token={}", token["token"].as_str().unwrap());
    let in_query = reqwest::get(harness.url_of(&format!("/v1/{query}"))).await.unwrap();
    assert_eq!(in_query.status(), StatusCode::UNAUTHORIZED);
    let (_, credential) = reader.get("credential").await;
    assert_eq!((&credential["kind"], &credential["scopes"]), (&json!("token"), &json!(["read"])));
    assert_eq!(credential["expires_at"], token["expires_at"]);
    let (_, own) = harness.get("credential").await;
    assert_eq!((&own["kind"], &own["scopes"]), (&json!("key"), &json!(Scope::ALL)));
    assert_eq!(credential["user"], own["user"], "the list that it reads is its maker's");
    // Neither what needs another scope, nor what makes something under this one.
    for path in [
        "generations",
        "batches",
        "runs",
        "tokens",
        "notifications/tokens",
        "notifications/read",
        &format!("{generation}/tokens"),
    ] {
        let (status, problem) = post(&reader, path, &json!({ "scope": "read" })).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {problem}");
    }
    for (method, path) in [("DELETE", generation.as_str()), ("POST", &format!("{generation}/cancel"))] {
        assert_eq!(reader.status(method, &format!("/v1/{path}")).await, StatusCode::FORBIDDEN, "{method} {path}");
    }
    for wrong in
        [json!({}), json!({ "scope": "admin" }), json!({ "scope": ["read"] }), json!({ "scope": "read", "expires_in": 28_801 })]
    {
        assert_eq!(post(&harness, "tokens", &wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    // A key without the scope makes none.
    let (_, starter) = key(&harness, "local", &[Scope::Start], None).await;
    let refused = post(&harness.with_key(starter.reveal()), "tokens", &json!({ "scope": "read" })).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    clock.advance(Duration::from_secs(61));
    assert_eq!(reader.status("GET", "/v1/generations").await, StatusCode::UNAUTHORIZED);
    harness.finish().await;
}
