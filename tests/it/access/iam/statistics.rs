//! What statistics come to: a row that is new, one that is changed, and an answer.

use longhand::Clock;
use longhand_tests::Harness;
use longhand_tests::calls::Recorder;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::drive::{ask, options};

/// A record with its outcome, as the records table's stream tells it to `meter`.
const EVENT: &str = include_str!("../../../../infra/events/meter.json");

pub async fn of_two_shards(recorder: Recorder) {
    let harness = Harness::with(options(&recorder, [].into(), &Clock::system(), None)).await;
    for shard in ["one", "other"] {
        let mut event: Value = serde_json::from_str(EVENT).unwrap();
        event["shardId"] = json!(shard);
        harness.stack.invoke("meter", event).await.unwrap();
    }
    for path in ["usage?by=day,model", "credential", "quota"] {
        ask(&harness, "GET", &format!("/v1/{path}"), None, StatusCode::OK).await;
    }
    ask(&harness, "POST", "/v1/tokens", Some(&json!({ "scope": "read" })), StatusCode::CREATED).await;
    harness.finish().await;
}
