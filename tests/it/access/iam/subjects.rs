//! What subjects come to: every route of theirs, and generations that are settled, small and large, or whose result is gone.

use longhand::Clock;
use longhand_tests::calls::Recorder;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::drive::{Stores, ask, options};

/// A record with its outcome, as the records table's stream tells it.
const EVENT: &str = include_str!("../../../../infra/events/settle.json");

/// Two versions by generations, of which one is too large for an answer, others by hand, and the end of all.
pub async fn with_versions(recorder: Recorder) {
    let hostile = Hostile::improvising("test", |_, body| match body["messages"][0]["content"].as_str() {
        Some("large") => Script::stream([wire::whole(&[&"0123456789".repeat(120_000)])]),
        _ => Script::stream([wire::whole(&["uno"])]),
    })
    .await;
    let env = environment(&hostile.base_url("test"), &[]);
    let harness = Harness::without(&["Outcome", "EveryMinute"], options(&recorder, env, &Clock::system(), None)).await;
    let generated = async |prompt: &str| {
        let id = harness.start_generation(json!({ "prompt": prompt, "subject": "s" })).await;
        harness.ended(&id).await;
        id
    };
    let settle = async |id: &str| {
        let mut event: Value = serde_json::from_str(EVENT).unwrap();
        event["Records"][0]["dynamodb"]["Keys"]["pk"] = json!({ "S": format!("local#{id}") });
        let answer = harness.stack.invoke("settle", event).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    };
    for prompt in ["small", "large"] {
        settle(&generated(prompt).await).await;
    }
    let stores = Stores::of(&harness).await;
    for prompt in ["small", "large"] {
        let gone = generated(prompt).await;
        stores.delete_object(&gone, "output.txt").await;
        settle(&gone).await;
    }
    let subject = "/v1/subjects/s";
    for way in ["", "/versions", "/versions/1", "/versions/1/output", "/export?to=1"] {
        ask(&harness, "GET", &format!("{subject}{way}"), None, StatusCode::OK).await;
    }
    ask(&harness, "GET", "/v1/subjects", None, StatusCode::OK).await;
    ask(&harness, "POST", &format!("{subject}/versions"), Some(&json!({ "text": "dos" })), StatusCode::CREATED).await;
    ask(&harness, "GET", &format!("{subject}/diff?from=1&to=3"), None, StatusCode::OK).await;
    ask(&harness, "POST", &format!("{subject}/versions/1/restore"), Some(&json!({})), StatusCode::CREATED).await;
    ask(&harness, "PUT", &format!("{subject}/versions/1/labels"), Some(&json!({ "labels": ["a"] })), StatusCode::OK).await;
    ask(&harness, "PUT", subject, Some(&json!({ "title": "S" })), StatusCode::OK).await;
    ask(&harness, "POST", &format!("{subject}/regenerate"), Some(&json!({})), StatusCode::ACCEPTED).await;
    ask(&harness, "DELETE", subject, None, StatusCode::OK).await;
    harness.finish().await;
}
