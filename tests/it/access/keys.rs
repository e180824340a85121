//! API keys: what they open, and for how long.

use std::time::Duration;

use longhand::{ApiKey, Clock, NewKey, Scope, Scopes};
use longhand_local::{Options, Playback, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Api, Harness, environment};
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A stack that asks for keys, and the clock that it goes by.
pub async fn start() -> (Harness, Playback, Clock) {
    let playback = play(Script::new(["Hola"])).unwrap();
    let clock = Clock::system();
    let env = environment(playback.base_url(), &[]);
    let options = Options { authorize: true, env, clock: clock.clone(), ..Options::default() };
    (Harness::with(options).await, playback, clock)
}

pub async fn key(harness: &Harness, organization: &str, scopes: &[Scope], expires_in: Option<Duration>) -> (String, ApiKey) {
    created(harness, organization, "test", scopes, expires_in).await
}

/// The same with a name, by which its holder is told what happens.
pub async fn named_key(harness: &Harness, organization: &str, name: &str, scopes: &[Scope]) -> (String, ApiKey) {
    created(harness, organization, name, scopes, None).await
}

async fn created(
    harness: &Harness,
    organization: &str,
    name: &str,
    scopes: &[Scope],
    expires_in: Option<Duration>,
) -> (String, ApiKey) {
    let app = harness.stack.app().await.unwrap();
    let new = NewKey { name: name.into(), scopes: scopes.iter().copied().collect(), expires_in };
    let (view, key) = app.create_key(&organization.parse().unwrap(), new).await.unwrap();
    (view.id.to_string(), key)
}

async fn send(harness: &Harness, method: Method, path: &str, authorization: Option<&str>) -> (StatusCode, Value) {
    let mut request = harness.http.request(method, format!("{}{path}", harness.stack.url()));
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let response = request.send().await.unwrap();
    (response.status(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn key_reads_its_own_organization_only() {
    let (harness, _playback, _) = start().await;
    let (_, other) = key(&harness, "globex", &Scope::ALL, None).await;
    let other: Api = harness.with_key(other.reveal());
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let (status, problem) = other.get(&format!("generations/{id}")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let own = other.start_generation(json!({})).await;
    other.ended(&own).await;
    for (api, expected) in [(&harness.api, &id), (&other, &own)] {
        let (_, page) = api.get("generations").await;
        let ids: Vec<&str> = page["data"].as_array().unwrap().iter().map(|record| record["id"].as_str().unwrap()).collect();
        assert_eq!(ids, [expected]);
    }
    harness.finish().await;
}

#[tokio::test]
async fn key_is_limited_to_its_scopes() {
    const ABSENT: &str = "gen_01arz3ndektsv4rrffq69g5fav";
    let (harness, _playback, _) = start().await;
    let response = ABSENT.replace("gen_", "resp_");
    let routes = [
        (Method::POST, "/v1/generations".to_owned(), Scope::Start),
        (Method::POST, "/v1/responses".to_owned(), Scope::Start),
        (Method::POST, format!("/v1/generations/{ABSENT}/cancel"), Scope::Start),
        (Method::GET, "/v1/generations".to_owned(), Scope::Read),
        (Method::GET, format!("/v1/generations/{ABSENT}/events"), Scope::Read),
        (Method::GET, format!("/v1/stream/generations/{ABSENT}"), Scope::Read),
        (Method::GET, format!("/v1/responses/{response}"), Scope::Read),
        (Method::DELETE, format!("/v1/responses/{response}"), Scope::Admin),
    ];
    for granted in Scope::ALL {
        let (id, key) = key(&harness, "local", &[granted], None).await;
        let bearer = format!("Bearer {}", key.reveal());
        for (method, path, needed) in &routes {
            let (status, body) = send(&harness, method.clone(), path, Some(&bearer)).await;
            let is_let_in = status != StatusCode::FORBIDDEN;
            assert_eq!(is_let_in, granted == *needed, "{granted}: {method} {path}: {status} {body}");
            if is_let_in {
                continue;
            }
            let expected = format!("this needs the scope `{needed}`, and the key {id} has `{granted}`");
            let (told, code) = if path.starts_with("/v1/responses") {
                (&body["error"]["message"], &body["error"]["code"])
            } else {
                (&body["detail"], &body["code"])
            };
            assert_eq!((told, code), (&json!(expected), &json!("forbidden")), "{body}");
        }
    }
    harness.finish().await;
}

#[tokio::test]
async fn invalid_credentials_are_refused_alike() {
    let (harness, _playback, clock) = start().await;
    let (_, expired) = key(&harness, "local", &Scope::ALL, Some(Duration::from_mins(1))).await;
    clock.advance(Duration::from_mins(1));
    let (id, revoked) = key(&harness, "local", &Scope::ALL, None).await;
    let app = harness.stack.app().await.unwrap();
    app.revoke_key(&"local".parse().unwrap(), &id.parse().unwrap()).await.unwrap();
    let unknown = ApiKey::generate().unwrap();
    let good = harness.stack.key().unwrap().text.clone();
    let mut refused = [&expired, &revoked, &unknown].map(|key| Some(format!("Bearer {}", key.reveal()))).to_vec();
    refused.extend([
        None,
        Some(good.clone()),
        Some(format!("Basic {good}")),
        Some(format!("Bearer {good}0")),
        Some("Bearer".into()),
    ]);
    refused.push(Some(format!("Bearer {}", good.to_ascii_uppercase())));
    let mut answers = Vec::new();
    for authorization in refused {
        let (status, mut body) = send(&harness, Method::GET, "/v1/generations", authorization.as_deref()).await;
        assert!(body["request_id"].take().is_string());
        answers.push((status, body));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert_eq!((&answers[0].1["code"], &answers[0].1["error"]["type"]), (&json!("unauthorized"), &json!("authentication_error")));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let (status, _) = send(&harness, Method::GET, "/v1/generations", Some(&format!("bearer {good}"))).await;
    assert_eq!(status, StatusCode::OK);
    harness.finish().await;
}

#[tokio::test]
async fn revoked_key_is_refused() {
    let (harness, _playback, clock) = start().await;
    let (id, key) = key(&harness, "local", &Scope::ALL, None).await;
    let api = harness.with_key(key.reveal());
    assert_eq!(api.get("generations").await.0, StatusCode::OK);
    let app = harness.stack.app().await.unwrap();
    let (organization, id) = ("local".parse().unwrap(), id.parse().unwrap());
    let revoked = app.revoke_key(&organization, &id).await.unwrap();
    assert!(!revoked.is_good && revoked.revoked_at.is_some());
    assert_eq!(app.revoke_key(&organization, &id).await.unwrap(), revoked, "again");
    clock.advance(Duration::from_secs(299));
    assert_eq!(api.get("generations").await.0, StatusCode::OK, "it is trusted for 300 s");
    clock.advance(Duration::from_secs(2));
    assert_eq!(api.get("generations").await.0, StatusCode::UNAUTHORIZED);
    harness.finish().await;
}

#[tokio::test]
async fn listed_keys_contain_no_secret() {
    let (harness, _playback, _) = start().await;
    let (first, _) = key(&harness, "acme", &[Scope::Start], None).await;
    let (second, secret) = key(&harness, "acme", &[Scope::Read], Some(Duration::from_hours(1))).await;
    let (elsewhere, _) = key(&harness, "globex", &Scope::ALL, None).await;
    let app = harness.stack.app().await.unwrap();
    let acme = "acme".parse().unwrap();
    let keys = app.list_keys(&acme).await.unwrap();
    let ids: Vec<String> = keys.iter().map(|key| key.id.to_string()).collect();
    assert!(ids.len() == 2 && ids.contains(&first) && ids.contains(&second), "{ids:?}");
    assert!(keys.iter().all(|key| key.is_good && key.expires_at.is_some() == (key.scopes == Scopes::from_iter([Scope::Read]))));
    let foreign = app.revoke_key(&acme, &elsewhere.parse().unwrap()).await.unwrap_err();
    assert_eq!(foreign.to_string(), format!("there is no key {elsewhere:?}"));
    for kept in [secret.sha256(), format!("lh_{}", secret.sha256()), second] {
        assert!(app.authorize(&kept).await.unwrap().is_none(), "{kept}");
    }
    let wrong = NewKey { name: "\n".into(), scopes: Scopes::default(), expires_in: Some(Duration::ZERO) };
    let told = app.create_key(&acme, wrong).await.unwrap_err().to_string();
    assert!(["name must", "scopes must", "expires_in must"].iter().all(|field| told.contains(field)), "{told}");
    harness.finish().await;
}
