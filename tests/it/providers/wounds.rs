//! Seven errors that a client in production made on this wire, with what they cost. A test for each, and two for the fifth.
//!
//! | wound | there |
//! |---|---|
//! | 1 | a delta `"0"` was taken for nothing: `0.78` became `.78`, and the JSON was lost |
//! | 2 | an idle timeout ended the loop: half a text was returned as success |
//! | 3 | lines without a space, with CR ends, or without an end were skipped |
//! | 4 | errors, finish reasons and usage in the stream were never read |
//! | 5 | two writers wrote one list: every token came twice |
//! | 6 | counters survived a second run: six times the deltas |
//! | 7 | the call was repeated after deltas had been handed on |

use std::time::Duration;

use longhand::generation::Status;
use longhand::{Clock, StreamJob, Streamed};
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::{Harness, assert_whole, key_of};
use serde_json::json;

use super::{assert_counted, outcome, usage};

/// A stack and a provider that plays `scripts`.
async fn stage(scripts: Vec<Script>, env: &[(&str, &str)]) -> (Harness, Hostile) {
    let hostile = Hostile::start([("test", scripts)]).await;
    (Harness::start(&hostile.base_url("test"), env).await, hostile)
}

fn text_stream(texts: &[&str]) -> Script {
    let texts: Vec<String> = texts.iter().map(|piece| wire::text(piece)).collect();
    Script::stream([wire::role()].into_iter().chain(texts))
}

#[tokio::test(flavor = "multi_thread")]
async fn wound_1_zero_is_text() {
    let pieces = ["{\"score\": ", "0", ".", "78", ", \"rest\": ", "0", "}"];
    let (harness, _hostile) = stage(vec![Script::stream([wire::whole(&pieces)])], &[]).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    assert_eq!(harness.text(&id).await, "{\"score\": 0.78, \"rest\": 0}");
    assert_eq!(record["llm_response"], json!({ "score": 0.78, "rest": 0 }));
    assert_eq!(record["progress"]["received_chunks"], 7);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wound_2_idle_timeout_is_not_success() {
    let stalled = text_stream(&["Uno ", "dos"]).ending(Ending::StallWithComments);
    let (harness, hostile) = stage(vec![stalled], &[("LONGHAND_IDLE_TIMEOUT_MS", "500")]).await;
    let ended = outcome(&harness, &hostile, "test", &json!({})).await;
    assert_eq!(
        (&ended["status"], &ended["reason"], &ended["text"]),
        (&json!("failed"), &json!("idle_timeout"), &json!("Uno dos"))
    );
    hostile.until("test", |seen| seen.closed_early == 1).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wound_3_every_line_form_is_read() {
    let whole = wire::whole(&["Uno ", "dos"]).replace("data: ", "data:").replace('\n', "\r");
    let (harness, hostile) = stage(vec![Script::stream([whole.trim_end()])], &[]).await;
    assert_eq!(outcome(&harness, &hostile, "test", &json!({})).await, super::completed("Uno dos", 2));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wound_4_errors_and_usage_are_read() {
    let error = wire::event(&json!({ "error": { "message": "overloaded", "code": 503 } }));
    let failing = Script::stream([wire::text("Uno"), error, wire::DONE.to_owned()]);
    let long = Script::stream([wire::text("Uno"), wire::finish("length"), wire::usage(json!([])), wire::DONE.to_owned()]);
    let (harness, hostile) = stage(vec![failing, long], &[]).await;
    let failed = outcome(&harness, &hostile, "test", &json!({})).await;
    assert_eq!(failed["error"]["message"], "the provider reported an error in its stream: overloaded");
    let cut = outcome(&harness, &hostile, "test", &json!({})).await;
    assert_eq!((&cut["status"], &cut["reason"], &cut["usage"]), (&json!("incomplete"), &json!("max_output_tokens"), &usage()));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wound_6_deltas_are_counted_once() {
    let pieces: Vec<String> = (0..756).map(|number| format!("{number} ")).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let (harness, hostile) = stage(vec![Script::stream([wire::whole(&pieces)])], &[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let job = json!({ "organization": "local", "generation": id });
    let again = harness.stack.invoke("stream", job).await.unwrap();
    assert_eq!(again["outcome"], "had_ended");
    let app = harness.stack.app().await.unwrap();
    let compaction = app.compact(&key_of(&id), "test").await.unwrap();
    assert!(compaction.was_compacted);
    let record = harness.ended(&id).await;
    assert_eq!(record["progress"]["received_chunks"], 756);
    assert_eq!(record["progress"]["received_bytes"], pieces.concat().len());
    assert_counted(&harness, &record, &harness.events(&id).await).await;
    assert_eq!(hostile.seen("test").bodies.len(), 1);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wound_5_one_of_two_writers_writes() {
    let slow = Script::stream([wire::whole(&["capa", "cidades"])]).first_byte_after(Duration::from_secs(1));
    let (harness, hostile) = stage(vec![slow], &[]).await;
    let id = harness.start_generation(json!({})).await;
    let job = json!({ "organization": "local", "generation": id });
    let (one, two) = tokio::join!(harness.stack.invoke("stream", job.clone()), harness.stack.invoke("stream", job));
    let outcomes = [one.unwrap()["outcome"].clone(), two.unwrap()["outcome"].clone()];
    assert!(outcomes.contains(&json!("busy")), "{outcomes:?}");
    let record = harness.ended(&id).await;
    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_counted(&harness, &record, &events).await;
    assert_eq!(harness.text(&id).await, "capacidades");
    assert_eq!(hostile.seen("test").bodies.len(), 1);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wound_5_dead_writer_is_fenced() {
    let slow = text_stream(&["capa"]).ending(Ending::Stall);
    let (harness, hostile) = stage(vec![slow, Script::stream([wire::whole(&["capa", "cidades"])])], &[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 1).await;
    let seen = harness.events(&id).await;
    // To a writer whose clock is five minutes ahead, the first one's lease is over.
    let ahead = Clock::system();
    ahead.advance(Duration::from_mins(5));
    let config = harness.config("stream");
    let second = harness.app(config, ahead).await;
    let job: StreamJob = serde_json::from_value(json!({ "organization": "local", "generation": id })).unwrap();
    let streamed = second.stream(&job, None).await.unwrap();
    assert_eq!(streamed, Streamed::Ended(Status::Completed));
    let record = harness.ended(&id).await;
    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_counted(&harness, &record, &events).await;
    assert_eq!(events[..seen.len()], seen, "what was read stays as it was");
    assert_eq!(harness.text(&id).await, "capacidades");
    hostile.until("test", |seen| seen.closed_early == 1).await;
    assert_eq!(harness.events(&id).await, events);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wound_7_no_retry_after_a_delta() {
    let (harness, hostile) = stage(vec![text_stream(&["Uno "]).ending(Ending::Cut)], &[]).await;
    for (attempts, requests) in [(1, 1), (2, 3), (3, 6)] {
        let ended = outcome(&harness, &hostile, "test", &json!({ "max_attempts": attempts })).await;
        assert_eq!((&ended["status"], &ended["text"], &ended["requests"]), (&json!("failed"), &json!("Uno "), &json!(requests)));
    }
    harness.finish().await;
}
