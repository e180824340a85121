//! What webhooks and notifications come to: every route of theirs, receivers that take, fail and are gone, and what the sweep finds due.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use longhand::Clock;
use longhand_tests::calls::Recorder;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::receiver::{Answer, Receiver};
use longhand_tests::{Harness, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::drive::{ask, options, until_called};

async fn read(harness: &Harness, method: &str, path: &str, body: Option<&Value>, expected: StatusCode) -> Value {
    serde_json::from_str(&ask(harness, method, path, body, expected).await).unwrap()
}

/// Waits until the newest delivery to a webhook is no longer as it was.
async fn tried(harness: &Harness, path: &str) -> Value {
    loop {
        let page = read(harness, "GET", &format!("{path}/deliveries"), None, StatusCode::OK).await;
        if page["data"][0]["tries"].as_u64() > Some(0) {
            return page["data"][0].clone();
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// An end that is told to a user, and to three receivers, of which one takes it.
pub async fn with_receivers(recorder: Recorder) {
    let hostile = Hostile::improvising("test", |_, _| Script::stream([wire::whole(&["uno"])])).await;
    let secrets = crate::access::tokens::secrets_manager(Arc::new(Mutex::new(vec!["one"]))).await;
    let env = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.as_str()), ("LONGHAND_WEBHOOK_KEY", "")];
    let env = environment(&hostile.base_url("test"), &env);
    let clock = Clock::system();
    let harness = Harness::without(&["EveryMinute"], options(&recorder, env, &clock, None)).await;
    let (good, failing, gone) =
        (Receiver::start().await, Receiver::answering(Answer::of(500)).await, Receiver::answering(Answer::of(410)).await);
    let mut paths = Vec::new();
    for receiver in [&good, &failing, &gone] {
        let body = json!({ "url": receiver.url(), "events": ["generation.completed", "version.created"] });
        let made = read(&harness, "POST", "/v1/webhooks", Some(&body), StatusCode::CREATED).await;
        paths.push(format!("/v1/webhooks/{}", made["id"].as_str().unwrap()));
    }
    let id = harness.start_generation(json!({ "notify": { "users": ["ada"] } })).await;
    harness.ended(&id).await;
    let delivery = tried(&harness, &paths[0]).await;
    for path in &paths[1..] {
        tried(&harness, path).await;
    }
    clock.advance(Duration::from_secs(6));
    harness.stack.invoke("sweep", json!({})).await.unwrap();
    until_called(&recorder, "sweep", "InvokeFunction").await;
    // Told by its own transaction.
    ask(&harness, "POST", "/v1/subjects/s/versions", Some(&json!({ "text": "dos" })), StatusCode::CREATED).await;
    let path = &paths[0];
    ask(&harness, "GET", "/v1/webhooks", None, StatusCode::OK).await;
    ask(&harness, "PATCH", path, Some(&json!({ "description": "D" })), StatusCode::OK).await;
    ask(&harness, "POST", &format!("{path}/rotate"), None, StatusCode::OK).await;
    ask(&harness, "POST", &format!("{path}/test"), None, StatusCode::ACCEPTED).await;
    ask(&harness, "POST", &format!("/v1/deliveries/{}/resend", delivery["id"].as_str().unwrap()), None, StatusCode::ACCEPTED)
        .await;
    let since = json!({ "since": "2026-01-01T00:00:00Z" });
    ask(&harness, "POST", &format!("{path}/recover"), Some(&since), StatusCode::ACCEPTED).await;
    for path in ["/v1/notifications?user=ada", "/v1/notifications/preferences?user=ada"] {
        ask(&harness, "GET", path, None, StatusCode::OK).await;
    }
    let wanted = json!({ "inbox": ["*"] });
    ask(&harness, "PUT", "/v1/notifications/preferences?user=ada", Some(&wanted), StatusCode::OK).await;
    ask(&harness, "POST", "/v1/notifications/read?user=ada", Some(&json!({ "all": true })), StatusCode::OK).await;
    ask(&harness, "DELETE", "/v1/notifications?user=ada", None, StatusCode::OK).await;
    for path in &paths {
        ask(&harness, "DELETE", path, None, StatusCode::OK).await;
    }
    harness.finish().await;
}
