//! The product's main job, over its HTTP edge: from a request to a blob.

use longhand_local::{Playback, Script};
use longhand_tests::{Deployment, Harness, assert_whole};
use reqwest::StatusCode;
use serde_json::json;
use sha2::{Digest, Sha256};

#[tokio::test(flavor = "multi_thread")]
async fn text_is_byte_equal_from_start_to_blob() {
    let script = Script::recorded().unwrap();
    let text = script.text();
    let (harness, playback) = Harness::playing(script, &[]).await;
    assert_does_the_main_job(&Deployment::embedded(&harness).await, &playback, &text).await;
    harness.finish().await;
}

/// The main job, whatever the product runs on. Its provider `test` is `playback`, which says `text`.
pub async fn assert_does_the_main_job(deployment: &Deployment<'_>, playback: &Playback, text: &str) {
    let api = deployment.api;
    let body = json!({ "provider": "test", "model": "m", "prompt": "Hola" });
    let (status, started) = api.post_once("once", &body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{started}");
    let id = started["id"].as_str().unwrap();

    let record = api.ended(id).await;
    let sent = playback.stats();
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(record["sha256"], format!("{:x}", Sha256::digest(text)));
    assert_eq!(record["sha256"], sent.sent_sha256);
    assert_eq!(record["bytes"], text.len());
    assert_eq!(record["progress"]["received_chunks"], sent.deltas);
    assert_eq!(record["progress"]["received_bytes"], text.len());
    assert_eq!(record["chunk_count"], deployment.stored_chunks(id).await);
    assert_eq!(record["compacted_by"], "compact");
    let blob = deployment.blob(record["compacted"].as_str().unwrap()).await;
    assert_eq!(String::from_utf8(blob).unwrap(), text);
    assert_eq!(api.text(id).await, text);
    assert_whole(&api.events(id).await);

    let (status, repeated) = api.post_once("once", &body).await;
    assert_eq!((status, &repeated["id"], &repeated["status"]), (StatusCode::ACCEPTED, &started["id"], &json!("completed")));
    assert_eq!(playback.stats().requests, 1);
    let (status, refused) = api.post_once("once", &json!({ "provider": "test", "model": "m", "prompt": "Adiós" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
}
