//! Where the result is kept, how much of it, and what is left once the buffer is gone.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use longhand::{Clock, Compaction, Inspection};
use longhand_local::Options;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, PATIENCE, assert_whole, environment, noise};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::{by_hand, made, playing, saying};

const ONE: [&str; 4] = ["", "/output", "/events", "/events?after=3&limit=2"];

async fn inspect(harness: &Harness, id: &str) -> Inspection {
    let (app, key) = by_hand(harness, id).await;
    app.inspect(&key).await.unwrap()
}

async fn compact(harness: &Harness, id: &str) -> Compaction {
    let (app, key) = by_hand(harness, id).await;
    app.compact(&key, "hand").await.unwrap()
}

/// Everything that can be read of a generation.
async fn read(harness: &Harness, id: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for path in ONE {
        all.push(harness.get(&format!("generations/{id}{path}")).await.1);
    }
    all
}

/// An attempt that is given up in the middle of text and tool calls, and one that is whole.
fn interrupted_once() -> Vec<Script> {
    let call = |name: &str, arguments: &str| {
        wire::delta(json!({ "tool_calls": [{ "index": 0, "id": name, "function": { "name": name, "arguments": arguments } }] }))
    };
    let cut = [wire::role(), wire::text("Uno "), call("old", "{\"a\":")];
    let whole = [wire::role(), wire::text("tres"), call("new", "{}"), wire::finish("tool_calls"), wire::DONE.to_owned()];
    vec![Script::stream(cut), Script::stream(whole)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_reads_the_same_from_the_bucket_once_its_buffer_has_expired() {
    let hostile = Hostile::start([("test", interrupted_once())]).await;
    let clock = Clock::system();
    let env = environment(&hostile.base_url("test"), &[]);
    let harness = Harness::with(Options { env, clock: clock.clone(), ..Options::default() }).await;
    let (id, record) = made(&harness, json!({})).await;
    let (before, events) = (read(&harness, &id).await, harness.events(&id).await);
    assert!(!inspect(&harness, &id).await.slots.is_empty());
    clock.advance(Duration::from_hours(25));
    let log = inspect(&harness, &id).await;
    assert!(log.slots.is_empty() && log.meta.is_none());
    assert_eq!(read(&harness, &id).await, before);
    assert_eq!(harness.events(&id).await, events);
    assert_whole(&events);
    assert_eq!(record["status"], "completed");
    assert_eq!(
        (&before[1]["text"], &before[1]["tool_calls"]),
        (&json!("tres"), &json!([{ "call_id": "new", "name": "new", "arguments": "{}" }]))
    );
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffer_that_is_not_wanted_is_emptied_and_everything_can_still_be_read() {
    let (harness, _hostile) = playing(interrupted_once(), &[]).await;
    let (id, record) = made(&harness, json!({ "delete_after": true })).await;
    let began = Instant::now();
    while !inspect(&harness, &id).await.slots.is_empty() {
        assert!(began.elapsed() < PATIENCE, "the buffer is still there");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(inspect(&harness, &id).await.meta.is_none());
    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_eq!(record["progress"]["last_seq"], events.len() - 1);
    let (_, output) = harness.get(&format!("generations/{id}/output")).await;
    assert_eq!((&output["text"], &output["tool_calls"][0]["name"]), (&json!("tres"), &json!("new")));
    assert_eq!(harness.get(&format!("generations/{id}/progress")).await.1["progress"], record["progress"]);
    // Run late, the handlers find nothing to do.
    let job = json!({ "organization": "local", "generation": id });
    assert_eq!(harness.stack.invoke("stream", job).await.unwrap()["outcome"], "had_ended");
    assert!(compact(&harness, &id).await.was_compacted);
    assert_eq!(harness.ended(&id).await, record);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_while_a_buffer_is_being_deleted_misses_nothing() {
    // More than a query reads at once.
    let noise = noise(40 * 50_000);
    let said = noise.as_bytes().chunks(50_000).map(|piece| wire::text(&String::from_utf8_lossy(piece))).chain([wire::ending()]);
    let (harness, _hostile) = playing(vec![Script::stream(said)], &[]).await;
    let id = harness.start_generation(json!({})).await;
    let (app, key) = by_hand(&harness, &id).await;
    // It begins while the bucket does not have the log yet, so it reads the buffer.
    let mut tail = app.tail(&key, None).await.unwrap();
    let record = harness.ended(&id).await;
    let mut followed = tail.poll().await.unwrap().expect("the log's first megabyte");
    let whole = harness.events(&id).await;
    assert_whole(&whole);
    // A batch of a deletion takes its items away one by one, in any order.
    let slots: Vec<u64> = inspect(&harness, &id).await.slots.iter().map(|slot| slot.seq).collect();
    let next = followed.last().unwrap().seq + 1;
    assert!(slots.contains(&next) && slots.last() > Some(&next), "{next} of {slots:?}");
    let delete =
        harness.clients().await.dynamodb.delete_item().table_name(&harness.stack.environment("api")["LONGHAND_BUFFER_TABLE"]);
    let delete = delete.key("pk", AttributeValue::S(format!("local#{id}")));
    delete.key("sk", AttributeValue::S(format!("{next:012}"))).send().await.unwrap();
    assert!(harness.events(&id).await == whole, "a reader of all of it");
    for after in 0..whole.len() {
        let (_, page) = harness.get(&format!("generations/{id}/events?after={after}&limit=2")).await;
        let expected: Vec<&Value> = whole.iter().skip(after + 1).take(2).map(|event| &event["seq"]).collect();
        let read: Vec<&Value> = page["data"].as_array().unwrap().iter().map(|event| &event["seq"]).collect();
        assert_eq!(read, expected, "behind {after}");
    }
    while let Some(events) = tail.next().await.unwrap() {
        followed.extend(events);
    }
    assert!(json!(followed) == json!(whole), "a reader who follows it");
    assert_eq!(record["progress"]["last_seq"], whole.len() - 1);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compacting_again_changes_nothing() {
    let (harness, _hostile) = saying("hola", &[]).await;
    let (id, record) = made(&harness, json!({ "response_format": { "type": "json_object" } })).await;
    let before = read(&harness, &id).await;
    let (one, two) = tokio::join!(compact(&harness, &id), compact(&harness, &id));
    assert!(one.was_compacted && two.was_compacted);
    for compaction in [one, two] {
        assert_eq!(json!(compaction.compacted), record["compacted"]);
        assert_eq!(json!(compaction.sha256), record["sha256"]);
        assert_eq!(json!(compaction.last_validation_issue_id), record["last_validation_issue_id"]);
    }
    assert_eq!(read(&harness, &id).await, before);
    assert_eq!(record["compacted_by"], "compact");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_too_large_for_an_answer_is_at_a_url_that_works() {
    let piece = "0123456789abcdé".repeat(4_096);
    let pieces = vec![piece.as_str(); 70];
    let text = pieces.concat();
    assert!(text.len() > 4 * 1024 * 1024);
    let (harness, _hostile) =
        playing(vec![Script::stream(pieces.iter().map(|piece| wire::text(piece)).chain([wire::ending()]))], &[]).await;
    let (id, record) = made(&harness, json!({ "response_format": { "type": "json_object" } })).await;
    assert_eq!(record["metadata"]["validation_errors"][0]["message"], "must have at most 4194304 bytes to be checked as JSON");
    let (_, output) = harness.get(&format!("generations/{id}/output")).await;
    assert_eq!((&output["text"], &output["bytes"]), (&json!(null), &json!(text.len())));
    let answer = reqwest::get(output["url"].as_str().expect("a URL")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.text().await.unwrap(), text);
    assert_eq!(output["sha256"], format!("{:x}", Sha256::digest(&text)));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_over_its_limit_fails_and_what_fits_is_kept() {
    let pieces: Vec<String> = (0..50).map(|number| format!("{number:0100}")).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let long = || Script::stream([wire::whole(&pieces)]);
    let dripping = Script::stream(pieces.iter().map(|piece| wire::text(piece)).chain([wire::ending()]));
    let (harness, hostile) = playing(vec![long(), dripping, long(), long()], &[("LONGHAND_UNWATCHED_WINDOW_MS", "1")]).await;
    for _ in 0..2 {
        let (id, record) = made(&harness, json!({ "max_output_bytes": 1_050 })).await;
        assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("output_limit")));
        assert_eq!(record["error"]["message"], "the output is larger than 1050 bytes");
        assert_eq!(harness.text(&id).await, pieces[..10].concat());
        assert_eq!((&record["progress"]["received_bytes"], &record["progress"]["received_chunks"]), (&json!(1_000), &json!(10)));
        assert_whole(&harness.events(&id).await);
    }
    let (id, record) = made(&harness, json!({ "max_output_bytes": 4_999 })).await;
    assert_eq!(record["reason"], "output_limit", "one byte over it is: {record}");
    assert_eq!(harness.text(&id).await, pieces[..49].concat());
    let (id, record) = made(&harness, json!({ "max_output_bytes": 5_000 })).await;
    assert_eq!(record["status"], "completed", "exactly the limit is not over it: {record}");
    assert_eq!(harness.text(&id).await, pieces.concat());
    assert_eq!(hostile.seen("test").bodies.len(), 4);
    harness.finish().await;
}
