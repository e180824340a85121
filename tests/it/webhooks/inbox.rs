//! Users' lists.

use longhand::Scope;
use longhand_local::Options;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Api, Harness, environment};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::access::keys::named_key;

async fn ask(api: &Api, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
    let mut request = api.http.request(method, api.url_of(&format!("/v1/{path}")));
    request = body.into_iter().fold(request, reqwest::RequestBuilder::json);
    api.send(request.build().unwrap()).await
}

async fn unread(api: &Api, count: u64) -> Value {
    let began = std::time::Instant::now();
    loop {
        let (status, list) = api.get("notifications").await;
        assert_eq!(status, StatusCode::OK, "{list}");
        if list["unread"] == count {
            return list;
        }
        assert!(began.elapsed() < longhand_tests::PATIENCE, "{list}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_read_their_own_lists_and_an_admin_anybodys() {
    let echo = Hostile::improvising("test", |_, _| Script::stream([wire::whole(&["Hola"])])).await;
    let env = environment(&echo.base_url("test"), &[]);
    let harness = Harness::with(Options { authorize: true, organization: "acme".into(), env, ..Options::default() }).await;
    let of = async |name: &str, scopes: &[Scope]| {
        let (_, key) = named_key(&harness, "acme", name, scopes).await;
        harness.api.with_key(key.reveal())
    };
    let ada = of("ada@example.com", &[Scope::Start, Scope::Read]).await;
    let bob = of("bob", &[Scope::Read]).await;
    let boss = of("the boss", &Scope::ALL).await;
    // Without users, who starts it is told; with users, they are.
    for notify in [json!({}), json!({ "users": ["bob", "ada@example.com"] }), json!({ "users": [] })] {
        let id = ada.start_generation(json!({ "notify": notify })).await;
        ada.ended(&id).await;
    }
    let list = unread(&ada, 2).await;
    assert_eq!(list["user"], "ada@example.com");
    let newest = &list["data"][0];
    assert_eq!((&newest["type"], &newest["read_at"]), (&json!("generation.completed"), &Value::Null));
    assert!(newest["link"].as_str().unwrap().starts_with("/v1/generations/gen_"), "{newest}");
    assert_eq!(unread(&bob, 1).await["data"][0]["event"], newest["event"], "one event");
    let read = json!({ "ids": [newest["id"], "ntf_01arz3ndektsv4rrffq69g5fav"] });
    let (status, marked) = ask(&ada, Method::POST, "notifications/read", Some(&read)).await;
    assert_eq!((status, &marked["read"], &marked["unread"]), (StatusCode::OK, &json!(1), &json!(1)));
    let (_, left) = ada.get("notifications?unread=true").await;
    assert_eq!(left["data"].as_array().unwrap().len(), 1);
    let (_, all) = ada.get("notifications?limit=1").await;
    let (_, rest) = ada.get(&format!("notifications?after={}", all["last_id"].as_str().unwrap())).await;
    assert_eq!((&all["has_more"], rest["data"].as_array().unwrap().len(), &rest["has_more"]), (&json!(true), 1, &json!(false)));
    let (_, marked) = ask(&ada, Method::POST, "notifications/read", Some(&json!({ "all": true }))).await;
    assert_eq!((&marked["read"], &marked["unread"]), (&json!(1), &json!(0)));
    // Another's.
    assert_eq!(bob.get("notifications?user=ada@example.com").await.0, StatusCode::FORBIDDEN);
    assert_eq!(boss.get("notifications?user=ada%40example.com").await.1["data"].as_array().unwrap().len(), 2);
    // A name that is no user: the key's id is.
    let own = boss.get("notifications").await.1["user"].as_str().unwrap().to_owned();
    assert!(own.starts_with("key_"), "{own}");
    // Preferences.
    let wanted = json!({ "inbox": ["batch.*"] });
    let (status, told) = ask(&bob, Method::PUT, "notifications/preferences", Some(&wanted)).await;
    assert_eq!((status, &told["inbox"]), (StatusCode::OK, &json!(["batch.*"])));
    assert_eq!(bob.get("notifications/preferences").await.1["inbox"], json!(["batch.*"]));
    let id = ada.start_generation(json!({ "notify": { "users": ["bob", "ada@example.com"] } })).await;
    ada.ended(&id).await;
    unread(&ada, 1).await;
    assert_eq!(bob.get("notifications").await.1["unread"], 1, "as before");
    // All that is kept of a user goes.
    let (status, gone) = ask(&boss, Method::DELETE, "notifications?user=bob", None).await;
    assert_eq!((status, &gone["rows"]), (StatusCode::OK, &json!(2)));
    assert_eq!(bob.get("notifications").await.1["data"], json!([]));
    assert_eq!(bob.get("notifications/preferences").await.1["inbox"], json!(["*"]));
    let (status, wrong) =
        ada.post(&json!({ "provider": "test", "model": "m", "prompt": "x", "notify": { "users": ["a b"] } })).await;
    assert_eq!((status, &wrong["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/notify/users/0")));
    harness.finish().await;
}
