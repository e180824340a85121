//! The compaction itself, on a stack whose own `compact` does nothing: beside itself, late, and on a log that is damaged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use longhand::Clock;
use longhand::generation::Status;
use longhand_functions::{Function, function};
use longhand_local::TEMPLATE;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, environment, start_stack};
use serde_json::json;

use super::by_hand;

/// A generation whose log has ended, in several chunks, and that nothing compacts.
async fn ended(clock: &Clock) -> (Harness, Hostile, String) {
    let pieces = ["a", "b", "c"].map(|letter| wire::text(&letter.repeat(300 * 1024)));
    let hostile = Hostile::start([("test", vec![Script::stream(pieces.into_iter().chain([wire::ending()]))])]).await;
    let options =
        longhand_local::Options { env: environment(&hostile.base_url("test"), &[]), clock: clock.clone(), ..Default::default() };
    let idle: longhand_functions::EventHandler = Arc::new(|_| Box::pin(async { Ok(json!({ "batchItemFailures": [] })) }));
    let registry =
        move |name: &str, app| if name == "compact" { Some(Function::Event(idle.clone())) } else { function(name, app) };
    let stack = start_stack(options, TEMPLATE, Arc::new(registry)).await;
    let harness = Harness { api: longhand_tests::Api::open(stack.url()), stack };
    let id = harness.start_generation(json!({})).await;
    hostile.until("test", |seen| seen.bodies.len() == 1).await;
    let job = json!({ "organization": "local", "generation": id });
    while harness.stack.invoke("stream", job.clone()).await.expect("an outcome")["outcome"] != "had_ended" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (harness, hostile, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_is_completed_only_once_its_blob_lies_in_the_bucket() {
    let (harness, _hostile, id) = ended(&Clock::system()).await;
    let (_, record) = harness.get(&format!("generations/{id}")).await;
    assert_eq!((&record["status"], &record["compacted"]), (&json!("running"), &json!(null)));
    assert_eq!(record["progress"]["received_bytes"], 3 * 300 * 1024);
    let (_, before) = harness.get(&format!("generations/{id}/output")).await;
    let (app, key) = by_hand(&harness, &id).await;
    let compaction = app.compact(&key, "hand").await.unwrap();
    assert!(!compaction.was_compacted);
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["compacted_by"]), (&json!("completed"), &json!("hand")));
    let (_, after) = harness.get(&format!("generations/{id}/output")).await;
    assert_eq!((&after["text"], &after["bytes"]), (&before["text"], &before["bytes"]));
    assert!(before["sha256"].is_null() && after["sha256"].is_string());
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compactions_side_by_side_write_one_outcome() {
    let (harness, _hostile, id) = ended(&Clock::system()).await;
    let (app, key) = by_hand(&harness, &id).await;
    let names: Vec<String> = (0..4).map(|number| format!("hand-{number}")).collect();
    let all = join_all(names.iter().map(|name| app.compact(&key, name))).await;
    let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(all.iter().filter(|compaction| !compaction.was_compacted).count(), 1);
    let results: BTreeSet<String> = all.iter().map(|one| format!("{:?} {:?} {}", one.compacted, one.sha256, one.bytes)).collect();
    assert_eq!(results.len(), 1, "{results:?}");
    let record = harness.ended(&id).await;
    let winner = all.iter().position(|compaction| !compaction.was_compacted).unwrap();
    assert_eq!(record["compacted_by"], names[winner]);
    harness.finish().await;
}

/// Deletes a chunk in the middle of a log, and returns the message with which its generation must fail.
async fn make_hole(harness: &Harness, id: &str) -> String {
    let (app, key) = by_hand(harness, id).await;
    let slots = app.inspect(&key).await.unwrap().slots;
    assert!(slots.len() >= 4, "{slots:?}");
    let (lost, next) = (slots[1].seq, slots[2].seq);
    let table = &harness.stack.environment("compact")["LONGHAND_BUFFER_TABLE"];
    let delete =
        harness.clients().await.dynamodb.delete_item().table_name(table).key("pk", AttributeValue::S(format!("local#{id}")));
    delete.key("sk", AttributeValue::S(format!("{lost:012}"))).send().await.unwrap();
    format!("its log contradicts itself: slot {next} where {lost} was expected")
}

/// Whoever finds the damage, the record names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_a_hole_is_never_compacted_and_its_generation_fails_with_a_reason() {
    for finder in ["hand", "stream", "sweep"] {
        let clock = Clock::system();
        let (harness, _hostile, id) = ended(&clock).await;
        let message = make_hole(&harness, &id).await;
        match finder {
            "stream" => {
                let job = json!({ "organization": "local", "generation": id });
                assert_eq!(harness.stack.invoke("stream", job).await.unwrap()["outcome"], json!({ "ended": "failed" }));
            }
            "sweep" => {
                clock.advance(Duration::from_mins(2));
                harness.stack.invoke("sweep", json!({})).await.unwrap();
            }
            by => {
                let (app, key) = by_hand(&harness, &id).await;
                let given_up = app.compact(&key, by).await.unwrap();
                assert_eq!((given_up.status, given_up.compacted), (Status::Failed, None));
            }
        }
        let record = harness.ended(&id).await;
        assert_eq!((&record["status"], &record["compacted"]), (&json!("failed"), &json!(null)));
        assert_eq!(record["error"], json!({ "code": "log_damaged", "message": message }));
        assert_eq!(record["compacted_by"], finder);
        let table = &harness.stack.environment("compact")["LONGHAND_RECORDS_TABLE"];
        let get = harness.clients().await.dynamodb.get_item().table_name(table);
        let get = get.key("pk", AttributeValue::S(format!("local#{id}"))).key("sk", AttributeValue::S("request".into()));
        let request = get.send().await.unwrap().item.unwrap();
        assert!(request.contains_key("request") && !request.contains_key("expires_at"), "nothing else has it: {request:?}");
        harness.finish().await;
    }
}
