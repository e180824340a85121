//! What happens to the stores beside a compaction, while it reads and puts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use longhand::aws::{Buffer, Meter};
use longhand::log::chunk::{Chunk, Counters};
use longhand::log::event::{End, Event};
use longhand::{Clock, Error, GenerationKey};
use longhand_local::{Options, PartsOf, Playback, Registry, Script};
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::sensitive::play;
use longhand_tests::tap::Call;
use longhand_tests::{Harness, PATIENCE, compact_ended, environment, start_stack, template_without};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::by_hand;

/// The compactor's call that `is_it`, behind the first `spared` of them, meets `mode`.
fn once(mode: Mode, spared: usize, is_it: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Faults {
    let seen = AtomicUsize::new(0);
    Faults::deciding(move |_, function, call| {
        let is_it = function == "compact" && is_it(call) && seen.fetch_add(1, Ordering::SeqCst) == spared;
        is_it.then_some(mode)
    })
}

/// A stack that sweeps when it is told to.
async fn stack(provider: &Playback, parts: PartsOf, registry: Registry) -> Harness {
    let env = environment(provider.base_url(), &[]);
    let options = Options { env, parts, retry_delay: Duration::from_millis(1), ..Options::default() };
    Harness::over(start_stack(options, &template_without(&["EveryMinute"]), registry).await)
}

fn puts(call: &Call, object: &str) -> bool {
    call.operation == "PutObject" && call.resource.ends_with(object)
}

/// A stack whose compactor is late once, and by then another has compacted the generation and it was purged.
async fn purged_beside(faults: Faults) {
    let provider = play(Script::new(["hola"])).unwrap();
    let harness = Arc::new(stack(&provider, faults.parts(), faults.registry(&Clock::system())).await);
    let purges = Arc::downgrade(&harness);
    faults.meanwhile(move || {
        let purges = purges.clone();
        async move {
            let harness = purges.upgrade().expect("the test waits for it");
            let list = harness.get("generations").await.1;
            let (app, key) = by_hand(&harness, list["data"][0]["id"].as_str().unwrap()).await;
            assert!(!app.compact(&key, "hand").await.unwrap().was_compacted);
            app.purge(&key).await.unwrap();
            assert!(matches!(app.get(&key).await, Err(Error::NotFound(_))));
        }
    });
    let id = harness.start_generation(json!({})).await;
    let began = Instant::now();
    while !(faults.is_idle() && faults.made().iter().any(|made| made.met.is_some())) {
        assert!(began.elapsed() < PATIENCE, "{:?}", faults.made());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(harness.get(&format!("generations/{id}")).await.0, StatusCode::NOT_FOUND);
    let config = harness.config("api");
    let clients = harness.clients().await;
    let objects = clients.s3.list_objects_v2().bucket(&config.bucket).send().await.unwrap();
    assert_eq!(objects.contents(), [], "{:?}", faults.made());
    for table in [&config.buffer_table, &config.records_table] {
        let rows = harness.rows_of_generations(table).await;
        assert!(rows.is_empty(), "{rows:?} in {table}: {:?}", faults.made());
    }
    Arc::into_inner(harness).expect("nothing else holds it").finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_late_compaction_puts_once_its_generation_is_purged_does_not_stay() {
    for object in ["output.txt", "events.jsonl.gz"] {
        for mode in [Mode::Late, Mode::AnswerLate] {
            purged_beside(once(mode, 0, move |call| puts(call, object))).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_compaction_that_fails_has_put_does_not_stay_once_its_generation_is_purged() {
    let late = AtomicBool::new(false);
    let faults = Faults::deciding(move |_, function, call| match function {
        "compact" if puts(call, "output.txt") && !late.swap(true, Ordering::SeqCst) => Some(Mode::Late),
        "compact" if puts(call, "events.jsonl.gz") => Some(Mode::Throttled),
        _ => None,
    });
    purged_beside(faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_end_vanishes_while_it_is_read_is_not_compacted() {
    let provider = play(Script::new(["hola"])).unwrap();
    // The first query finds the newest chunk.
    let faults = once(Mode::Late, 1, |call| call.operation == "Query");
    let harness = Arc::new(stack(&provider, faults.parts(), faults.registry(&Clock::system())).await);
    let held = Arc::downgrade(&harness);
    faults.meanwhile(move || {
        let held = held.clone();
        async move {
            let harness = held.upgrade().expect("the test waits for it");
            let list = harness.get("generations").await.1;
            let id = list["data"][0]["id"].as_str().unwrap();
            let (app, key) = by_hand(&harness, id).await;
            let last = app.inspect(&key).await.unwrap().slots.last().unwrap().seq;
            let table = &harness.stack.environment("compact")["LONGHAND_BUFFER_TABLE"];
            let delete = harness.clients().await.dynamodb.delete_item().table_name(table);
            let delete = delete.key("pk", AttributeValue::S(format!("local#{id}")));
            delete.key("sk", AttributeValue::S(format!("{last:012}"))).send().await.unwrap();
        }
    });
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    assert_eq!(
        (&record["status"], &record["reason"], &record["compacted"]),
        (&json!("failed"), &json!("log_damaged"), &json!(null))
    );
    let message = record["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("its log contradicts itself: it ends at "), "{message}");
    Arc::into_inner(harness).expect("nothing else holds it").finish().await;
}

/// Has a generation compacted, and its buffer deleted, when a function that a person calls looks for the newest chunk.
async fn gone_beside(path: &str) -> (StatusCode, Value) {
    let provider = play(Script::new(["hola"])).unwrap();
    let is_near = Arc::new(AtomicBool::new(false));
    let near = Arc::clone(&is_near);
    let faults = Faults::deciding(move |_, function, call| {
        let is_it = ["api", "tail"].contains(&function) && call.operation == "Query" && near.swap(false, Ordering::SeqCst);
        is_it.then_some(Mode::Late)
    });
    let (env, parts) = (environment(provider.base_url(), &[]), faults.parts());
    let options = Options { env, parts, retry_delay: Duration::from_millis(1), ..Options::default() };
    let registry = faults.registry(&options.clock);
    let stack = start_stack(options, &template_without(&["EveryMinute", "Ended"]), registry).await;
    let harness = Arc::new(Harness::over(stack));
    let id = harness.start_generation(json!({ "delete_after": true })).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 1).await;
    let held = Arc::downgrade(&harness);
    let name = id.clone();
    faults.meanwhile(move || {
        let (held, id) = (held.clone(), name.clone());
        async move {
            let (app, key) = by_hand(&held.upgrade().expect("the test waits for it"), &id).await;
            compact_ended(&app, &key, "hand").await;
        }
    });
    is_near.store(true, Ordering::SeqCst);
    let url = format!("generations/{id}{path}");
    let answer = if path == "/cancel" { harness.cancel(&id).await } else { harness.get(&url).await };
    assert!(faults.made().iter().any(|made| made.met.is_some()), "{path} does not look for it");
    let (app, key) = by_hand(&harness, &id).await;
    let left = app.inspect(&key).await.unwrap();
    assert!(left.slots.is_empty(), "{path} has put {:?}", left.slots);
    Arc::into_inner(harness).expect("nothing else holds it").finish().await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_while_a_buffer_is_deleted_is_told_how_the_generation_ended() {
    for path in ["", "/output", "/events", "/progress", "/progress?partial=json"] {
        let (status, answer) = gone_beside(path).await;
        assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!("completed")), "{path}: {answer}");
        if path == "/events" {
            assert_eq!(answer["data"].as_array().unwrap().last().unwrap()["type"], "completed", "{answer}");
        }
    }
    let (status, problem) = gone_beside("/cancel").await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("already_ended")), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_of_the_buffer_that_was_cut_off_is_made_up_for_when_the_trigger_comes_again() {
    let provider = play(Script::new(["hola"])).unwrap();
    for mode in [Mode::KilledAfter, Mode::AnswerLost] {
        let faults = once(mode, 0, |call| call.operation == "UpdateItem");
        let harness = stack(&provider, faults.parts(), faults.registry(&Clock::system())).await;
        let id = harness.start_generation(json!({ "delete_after": true })).await;
        harness.ended(&id).await;
        until_empty(&harness, &id).await;
        // So does what a writer that was taken for dead has put into a slot that was free again.
        let table = &harness.stack.environment("compact")["LONGHAND_BUFFER_TABLE"];
        let key = GenerationKey::new("local".parse().unwrap(), id.parse().unwrap());
        let counters = Counters { received_chunks: 1, stored_bytes: 0, chunk_count: 1 };
        let (writer, events) = ("w".to_owned(), vec![Event::Cancelled(End::default())]);
        let chunk =
            Chunk { first_seq: 4, writer, at_ms: 1, first_text_at_ms: None, counters, output_from: 0, upstream: None, events };
        let buffer = Buffer::new(harness.clients().await.dynamodb, table.clone(), Clock::system(), Meter::default());
        buffer.append(&key, &chunk, i64::MAX / 1_000).await.unwrap();
        until_empty(&harness, &id).await;
        assert_eq!(harness.ended(&id).await["status"], "completed");
        harness.finish().await;
    }
}

async fn until_empty(harness: &Harness, id: &str) {
    let (app, key) = by_hand(harness, id).await;
    let began = Instant::now();
    while !app.inspect(&key).await.unwrap().slots.is_empty() {
        assert!(began.elapsed() < PATIENCE, "the buffer is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
