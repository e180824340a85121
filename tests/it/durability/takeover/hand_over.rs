//! A function's time runs out before the provider has finished: the next function goes on.
//!
//! The functions of these stacks have seconds where AWS gives them minutes, and the clock is moved on by what is missing.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use longhand::aws::{Buffer, Meta, Meter};
use longhand::limits::HAND_OVERS_MAX;
use longhand::{Clock, GenerationKey};
use longhand_local::Data;
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::{PATIENCE, assert_whole, read_live};
use serde_json::{Value, json};

use super::*;

/// A writer has half of it, where one of 15 minutes has 14 minutes and 40 seconds.
const TIMEOUT_SECONDS: u64 = 4;
const SIMULATED: Duration = Duration::from_mins(13);

/// Says a text for some seconds, from wherever it is asked to.
async fn slow(text: &str) -> Hostile {
    let said = text.to_owned();
    Hostile::improvising("test", move |_, body| saying(&said, body, Duration::from_millis(35))).await
}

fn env(providers: &str) -> [(&'static str, &str); 2] {
    [("LONGHAND_PROVIDERS", providers), ("LONGHAND_GENERATION_TIMEOUT_MS", "3600000")]
}

async fn until_attempt(harness: &Harness, id: &str, attempt: usize) {
    harness.until(id, |record| record["progress"]["received_chunks"].as_u64() > Some(0)).await;
    let began = std::time::Instant::now();
    while attempts(&harness.events(id).await).len() < attempt {
        assert!(began.elapsed() < PATIENCE, "attempt {attempt} does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_minute_generation_is_handed_over_as_one_text() {
    let text = pieces(140).concat();
    let hostile = slow(&text).await;
    let clock = Clock::system();
    let (providers, begun) = (providers(&hostile, &going_on()), clock.now_ms());
    let harness = stack(Data::Memory, &clock, &env(&providers), TIMEOUT_SECONDS).await;
    // Not one of them counts as failed.
    let id = harness.start_generation(json!({ "max_attempts": 1 })).await;
    for attempt in 1..=4 {
        until_attempt(&harness, &id, attempt).await;
        clock.advance(if attempt < 4 { SIMULATED } else { Duration::ZERO });
    }
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(harness.text(&id).await, text);
    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_eq!((count(&events, "output_item.added"), count(&events, "output_item.done")), (1, 1), "one item");
    let attempts = attempts(&events);
    assert!(attempts.len() >= 4, "three deadlines: {attempts:?}");
    assert!(clock.now_ms() - begun > 39 * 60 * 1_000);
    let meta = meta(&harness, &id).await;
    assert_eq!(
        (meta["attempt"].as_u64(), meta["hand_overs"].as_u64()),
        (Some(attempts.len() as u64), Some(attempts.len() as u64 - 1))
    );
    let bodies = hostile.seen("test").bodies;
    for (body, attempt) in bodies.iter().zip(1..) {
        assert_eq!(prefix(body).unwrap_or_default(), text_before(&events, attempt));
    }
    assert_eq!(bodies.len(), attempts.len(), "one request for each");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_continues_a_hand_over_whose_invoke_was_lost() {
    let text = pieces(60).concat();
    let hostile = slow(&text).await;
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::system());
    let data = Data::Folder(folder.path().to_owned());
    let providers = providers(&hostile, &going_on());
    // Nobody is there to be invoked: what `stream` has given up nobody takes, as if its process had ended right then.
    let lost = [("LONGHAND_PROVIDERS", providers.as_str()), ("LONGHAND_STREAM_FUNCTION", "nobody")];
    let harness = stack(data.clone(), &clock, &lost, TIMEOUT_SECONDS).await;
    let id = harness.start_generation(json!({ "max_attempts": 1 })).await;
    let answer = harness.stack.invoke("stream", job(&id)).await.unwrap();
    assert_eq!(answer["outcome"], "handed_over");
    let given_up = meta(&harness, &id).await;
    assert_eq!((&given_up["attempt"], &given_up["hand_overs"], &given_up["lease_until"]), (&json!(1), &json!(1), &json!(0)));
    let shown = harness.events(&id).await;
    assert!(!shown.is_empty());
    harness.stack.shutdown().await;

    // The age from which a sweep looks at a generation. The lease would last as long.
    clock.advance(Duration::from_mins(1));
    let harness = stack(data, &clock, &env(&providers), 900).await;
    let swept = harness.stack.invoke("sweep", json!({})).await.unwrap();
    assert_eq!((&swept["open"], &swept["streamed"]), (&json!(1), &json!(1)));
    assert_eq!(harness.ended(&id).await["status"], "completed");
    assert_eq!(harness.text(&id).await, text);
    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_eq!(events[..shown.len()], shown[..]);
    assert_eq!(attempts(&events), [1, 2]);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_overs_are_bounded() {
    let more = || Script::stream([wire::text("more ")]).ending(Ending::Stall);
    let hostile = Hostile::start([("test", vec![more()])]).await;
    let providers = providers(&hostile, &going_on());
    let lost = [("LONGHAND_PROVIDERS", providers.as_str()), ("LONGHAND_STREAM_FUNCTION", "nobody")];
    let harness = stack(Data::Memory, &Clock::system(), &lost, TIMEOUT_SECONDS).await;
    let id = harness.start_generation(json!({})).await;
    let outcome = |answer: Value| answer["outcome"].clone();
    assert_eq!(outcome(harness.stack.invoke("stream", job(&id)).await.unwrap()), "handed_over");
    count_hand_overs(&harness, &id, HAND_OVERS_MAX - 1).await;
    assert_eq!(outcome(harness.stack.invoke("stream", job(&id)).await.unwrap()), "handed_over");
    assert_eq!(meta(&harness, &id).await["hand_overs"], HAND_OVERS_MAX);
    assert_eq!(outcome(harness.stack.invoke("stream", job(&id)).await.unwrap()), json!({ "ended": "failed" }));
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("deadline")), "{record}");
    assert_eq!(harness.text(&id).await, "more more more ");
    harness.finish().await;
}

/// As if there had been so many.
async fn count_hand_overs(harness: &Harness, id: &str, hand_overs: u32) {
    let config = harness.config("api");
    let update = harness.clients().await.dynamodb.update_item().table_name(&config.buffer_table);
    let update = update.key("pk", AttributeValue::S(format!("local#{id}"))).key("sk", AttributeValue::S("meta".into()));
    let counted = AttributeValue::N(hand_overs.to_string());
    let update = update.update_expression("SET attempt = :counted, hand_overs = :counted");
    update.expression_attribute_values(":counted", counted).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn first_attempt_without_continuation_is_not_handed_over() {
    let hostile = slow(&pieces(100).concat()).await;
    let providers = providers(&hostile, &json!({}));
    let harness = stack(Data::Memory, &Clock::system(), &env(&providers), 2).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("deadline")), "{record}");
    assert_eq!(hostile.seen("test").bodies.len(), 1, "a new function has no more time than this one had");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn later_attempt_without_continuation_is_handed_over() {
    let whole = Script::stream([wire::whole(&["uno ", "dos"])]);
    // The first attempt is cut, the second has no time left, the third has a function to itself.
    let cut = Script::stream([wire::text("uno ")]).ending(Ending::Cut);
    let late = Script::stream([wire::text("uno ")]).ending(Ending::Stall);
    let hostile = Hostile::start([("test", vec![cut, late, whole])]).await;
    let providers = providers(&hostile, &json!({}));
    let harness = stack(Data::Memory, &Clock::system(), &env(&providers), TIMEOUT_SECONDS).await;
    let id = harness.start_generation(json!({ "max_attempts": 2 })).await;
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(harness.text(&id).await, "uno dos");
    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_eq!((attempts(&events), count(&events, "output_item.added")), (vec![1, 2, 3], 3));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attached_caller_reads_on_after_a_hand_over() {
    let text = pieces(60).concat();
    let hostile = slow(&text).await;
    let providers = providers(&hostile, &going_on());
    let harness = stack(Data::Memory, &Clock::system(), &env(&providers), TIMEOUT_SECONDS).await;
    let body = json!({ "provider": "test", "model": "m", "prompt": "Hola", "stream": true });
    let url = format!("{}/v1/generations", harness.stack.url());
    let response = harness.api.http.post(&url).json(&body).send().await.unwrap();
    let id = response.headers()["location"].to_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let (mut events, mut ended) = read_live(response, |_| false).await;
    // The answer of a function ends with its time. Whoever wants the rest comes back with the last number.
    while !events.last().is_some_and(|event| event["type"] == "completed") {
        assert!(ended, "it ends well");
        let after = events.last().and_then(|event| event["seq"].as_u64());
        let (more, now_ended) = harness.read_live(&id, after, |_| false).await;
        events.extend(more);
        ended = now_ended;
    }
    assert_whole(&events);
    assert!(attempts(&events).len() > 1);
    let read: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(read, text);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_beyond_the_deadline_is_handed_over() {
    let make = |number: usize, body: &Value| match number {
        0 => Script::stream([wire::text("uno ")]).ending(Ending::Cut),
        1 => Script::plain("503 Service Unavailable", "text/plain", "restarting").header("Retry-After", "60"),
        _ => saying("uno dos", body, Duration::ZERO),
    };
    let hostile = Hostile::improvising("test", make).await;
    let providers = providers(&hostile, &going_on());
    let harness = stack(Data::Memory, &Clock::system(), &env(&providers), TIMEOUT_SECONDS).await;
    let id = harness.start_generation(json!({ "max_attempts": 2 })).await;
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(harness.text(&id).await, "uno dos");
    assert_eq!(attempts(&harness.events(&id).await), [1, 2, 3]);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_renewal_does_not_revive_a_lease() {
    let harness = Harness::start("http://127.0.0.1:9", &[]).await;
    let config = harness.config("api");
    let clients = harness.clients().await;
    let buffer = Buffer::new(clients.dynamodb, config.buffer_table, Clock::system(), Meter::default());
    let key = GenerationKey::from_partition("local#gen_01arz3ndektsv4rrffq69g5fav").unwrap();
    let held: Meta =
        serde_json::from_value(json!({ "attempt": 1, "writer": "a", "lease_until": 1, "expires_at": i64::MAX / 1_000 })).unwrap();
    let given_up = Meta { hand_overs: 1, writer: "nobody".into(), lease_until: 0, ..held.clone() };
    assert!(buffer.claim(&key, None, &held).await.unwrap().is_some());
    assert!(buffer.renew(&key, &held, 2).await.unwrap());
    assert!(buffer.claim(&key, Some(&held), &given_up).await.unwrap().is_some());
    assert!(!buffer.renew(&key, &held, 3).await.unwrap());
    assert_eq!(buffer.meta_now(&key).await.unwrap(), Some(given_up));
    harness.finish().await;
}
