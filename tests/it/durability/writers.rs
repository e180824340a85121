//! Invariants of the log under more than one writer.

use std::time::{Duration, Instant};

use longhand::aws::{Appended, Buffer, Meter};
use longhand::generation::Status;
use longhand::log::chunk::{Chunk, Counters};
use longhand::log::event::{Stretch, TextKind};
use longhand::{Clock, GenerationId, GenerationKey, StreamJob, Streamed};
use longhand_local::{Options, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, PATIENCE, assert_whole, environment, key_of};
use serde_json::{Value, json};

fn script(deltas: usize, tempo: f64) -> Script {
    Script { deltas: (0..deltas).map(|number| format!("{number} ")).collect(), tempo, ..Script::default() }
}

async fn inspect(harness: &Harness, id: &str) -> Value {
    let app = harness.stack.app().await.unwrap();
    serde_json::to_value(app.inspect(&key_of(id)).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn invocations_at_once_make_one_log_with_one_writer() {
    let (harness, playback) = Harness::playing(script(200, 400.0), &[]).await;
    let id = harness.start_generation(json!({})).await;
    let job = json!({ "organization": "local", "generation": id });
    let invokes = (0..4).map(|_| harness.stack.invoke("stream", job.clone()));
    for answer in futures::future::join_all(invokes).await {
        let outcome = answer.unwrap()["outcome"].clone();
        let is_one = outcome == "busy" || outcome == "had_ended" || outcome == json!({ "ended": "completed" });
        assert!(is_one, "{outcome}");
    }
    let record = harness.ended(&id).await;
    assert_eq!(harness.text(&id).await, script(200, 0.0).text());
    assert_eq!(record["progress"]["received_chunks"], 200);
    assert_eq!(playback.stats().requests, 1, "one request upstream");
    assert_whole(&harness.events(&id).await);
    harness.finish().await;
}

/// With no other guard in between: not the lease, not the attempt on meta.
#[tokio::test(flavor = "multi_thread")]
async fn slot_belongs_to_its_first_writer() {
    let harness = Harness::start("http://127.0.0.1:1/v1", &[]).await;
    let config = harness.config("stream");
    let clients = harness.clients().await;
    let buffer = Buffer::new(clients.dynamodb, config.buffer_table.clone(), Clock::system(), Meter::default());
    let key = GenerationKey::new("local".parse().unwrap(), GenerationId::new(0));
    let chunk = |writer: &str, text: &str| Chunk {
        first_seq: 0,
        writer: writer.into(),
        at_ms: 1,
        first_text_at_ms: None,
        counters: Counters { received_chunks: 1, stored_bytes: text.len() as u64, chunk_count: 1 },
        output_from: 0,
        upstream: None,
        events: vec![TextKind::OutputText.delta(Stretch { output_index: 0, content_index: 0, delta: text.into() })],
    };
    let (one, other) = (chunk("one", "uno"), chunk("other", "dos"));
    for (chunk, appended) in [(&one, Appended::Stored), (&other, Appended::Lost), (&one, Appended::Stored)] {
        assert_eq!(buffer.append(&key, chunk, i64::MAX / 1_000).await.unwrap(), appended, "{}", chunk.writer);
        assert_eq!(buffer.newest(&key).await.unwrap().as_ref(), Some(&one), "what is stored stays as it is");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_without_lease_is_fenced() {
    let playback = play(script(400, 200.0)).unwrap();
    let options = Options { env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["Ended"], options).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"].as_u64() > Some(20)).await;
    // By the second writer's clock the lease of the first, which is alive and goes on, is long gone.
    let clock = Clock::system();
    clock.advance(Duration::from_mins(1));
    let config = harness.config("stream");
    let second = harness.app(config, clock).await;
    let shown = harness.events(&id).await;
    let job = StreamJob::new(&key_of(&id));
    let streamed = second.stream(&job, None).await.unwrap();
    assert_eq!(streamed, Streamed::Ended(Status::Completed), "the second writer brings the log to its end");

    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_eq!(events[..shown.len()], shown[..], "nothing that was shown has changed");
    let inspection = inspect(&harness, &id).await;
    let mut writers: Vec<&str> =
        inspection["slots"].as_array().unwrap().iter().filter_map(|slot| slot["writer"].as_str()).collect();
    writers.dedup();
    assert_eq!(writers.len(), 2, "the first writer wrote nothing after the second had begun: {writers:?}");
    assert_eq!(inspection["meta"]["attempt"], 2);
    let attempts = events.iter().filter(|event| event["type"] == "in_progress").count();
    assert_eq!(attempts, 2, "readers are told");

    let compaction = harness.stack.app().await.unwrap().compact(&key_of(&id), "test").await.unwrap();
    let text = script(400, 0.0).text();
    assert_eq!(compaction.bytes, text.len() as u64);
    assert_eq!(harness.text(&id).await, text, "the result is the second attempt's, whole");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exhausted_attempts_fail_and_keep_the_text() {
    let playback = play(Script { ending: longhand_local::playback::Ending::Stall, ..script(30, 0.0) }).unwrap();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::with(options).await;
    let id = harness.start_generation(json!({ "max_attempts": 1 })).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 30).await;
    let job = json!({ "organization": "local", "generation": id });
    let mut outcome = json!("busy");
    while outcome == "busy" {
        // The writer is alive, and may renew its lease right then.
        clock.advance(Duration::from_mins(1));
        outcome = harness.stack.invoke("stream", job.clone()).await.unwrap()["outcome"].clone();
    }
    assert_eq!(outcome, json!({ "ended": "failed" }));
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "failed");
    assert_eq!(record["error"]["code"], "attempts_exhausted");
    assert_eq!(harness.text(&id).await, script(30, 0.0).text());
    assert_whole(&harness.events(&id).await);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_of_a_deleted_log_stops() {
    let playback = play(script(100_000, 200.0)).unwrap();
    let options = Options { env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["Ended", "EveryMinute"], options).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"].as_u64() > Some(20)).await;
    let config = harness.config("stream");
    let clients = harness.clients().await;
    let buffer = Buffer::new(clients.dynamodb, config.buffer_table.clone(), Clock::system(), Meter::default());
    let key = GenerationKey::new("local".parse().unwrap(), id.parse().unwrap());
    buffer.delete(&key).await.unwrap();
    let began = Instant::now();
    while playback.stats().closed_early == 0 {
        assert!(began.elapsed() < PATIENCE, "it writes on, in slots that are free again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    harness.stack.shutdown().await;
}
