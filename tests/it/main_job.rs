//! The product's main job, over its HTTP edge: from a request to a blob.

use longhand_local::Script;
use longhand_tests::{Harness, assert_whole};
use serde_json::json;
use sha2::{Digest, Sha256};

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_goes_from_start_to_blob_and_its_text_is_byte_equal() {
    let script = Script::recorded().unwrap();
    let text = script.text();
    let (harness, playback) = Harness::playing(script, &[]).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    let sent = playback.stats();
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(record["sha256"], format!("{:x}", Sha256::digest(&text)));
    assert_eq!(record["bytes"], text.len());
    assert_eq!(record["progress"]["received_chunks"], sent.deltas);
    assert_eq!(record["progress"]["received_bytes"], text.len());
    assert_eq!(harness.text(&id).await, text);
    let events = harness.events(&id).await;
    assert_whole(&events);
    harness.finish().await;
}
