//! The dialect `responses`, in the foreground and with responses that the provider keeps.

use std::time::Duration;

use longhand::Clock;
use longhand_local::Options;
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::keeper::{Keeper, Speech};
use longhand_tests::{Harness, assert_whole, environment, start_stack, template_without};
use serde_json::{Value, json};

const PACE: Duration = Duration::from_millis(2);

fn deltas(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number} ñ€😀 ")).collect()
}

fn speech(count: usize) -> Speech {
    Speech { deltas: deltas(count), pace: PACE, ..Speech::default() }
}

async fn harness(keeper: &Keeper) -> Harness {
    Harness::start("", &[("LONGHAND_PROVIDERS", &keeper.providers())]).await
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["type"] == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn foreground_response_is_streamed() {
    let keeper = Keeper::start(Speech { pace: Duration::ZERO, ..speech(5) }).await;
    let providers = json!({ "test": { "base_url": keeper.base_url(), "dialect": "responses" } }).to_string();
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers)]).await;
    let id = harness.start_generation(json!({ "instructions": "Be brief.", "max_output_tokens": 9 })).await;
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["finish_reason"]), (&json!("completed"), &json!("completed")), "{record}");
    assert_eq!(harness.text(&id).await, deltas(5).concat());
    let usage = json!({ "input_tokens": 7, "output_tokens": 5, "reasoning_tokens": 2, "total_tokens": 12 });
    assert_eq!(record["usage"], usage);
    let events = harness.events(&id).await;
    let reasoning: String = events
        .iter()
        .filter(|event| event["type"] == "reasoning_text.delta")
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(reasoning, "Let me think.");
    let input = json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hola" }]);
    let sent = json!({ "model": "m", "input": input, "max_output_tokens": 9, "store": false, "stream": true });
    assert_eq!(keeper.kept().created, [sent]);
    harness.finish().await;
}

/// Every stream is cut off, in the reasoning, in the text, and between the last delta and the end.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_stream_of_a_kept_response_is_read_on_and_nothing_is_generated_twice() {
    for cut_after in [5, 6, 8] {
        const DELTAS: usize = 12;
        let keeper = Keeper::start(Speech { cut_after: Some(cut_after), ..speech(DELTAS) }).await;
        let harness = harness(&keeper).await;
        let id = harness.start_generation(json!({ "max_attempts": 10 })).await;
        let record = harness.ended(&id).await;
        assert_eq!(record["status"], "completed", "{record}");
        assert_eq!(harness.text(&id).await, deltas(DELTAS).concat());
        let events = harness.events(&id).await;
        assert_whole(&events);
        assert_eq!(count(&events, "output_item.added"), 2, "reasoning and message, each once");
        let kept = keeper.kept();
        assert_eq!((kept.created.len(), kept.generated, kept.cancelled.len()), (1, DELTAS, 0), "{kept:?}");
        assert!(kept.reads.len() > 1 && kept.reads.is_sorted(), "{kept:?}");
        let sent = &kept.created[0];
        assert_eq!((&sent["background"], &sent["store"], &sent["stream"]), (&json!(true), &json!(true), &json!(true)));
        assert_eq!(record["usage"]["total_tokens"], 7 + DELTAS, "what the attempts used together is counted once: {record}");
        harness.finish().await;
    }
}

/// The second stream ends behind the beginning of the message, so that nothing of it can be read on; the third tells it all.
#[tokio::test(flavor = "multi_thread")]
async fn stream_without_text_is_tried_again_where_it_began() {
    let keeper = Keeper::start(Speech { cuts: vec![6, 1], ..speech(5) }).await;
    let harness = harness(&keeper).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(harness.text(&id).await, deltas(5).concat());
    let events = harness.events(&id).await;
    assert_whole(&events);
    let reasoning: String = events
        .iter()
        .filter(|event| event["type"] == "reasoning_text.delta")
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!((reasoning.as_str(), count(&events, "output_item.added")), ("Let me think.", 2));
    assert_eq!(keeper.kept().reads, [Some(5), Some(5)]);
    harness.finish().await;
}

/// Some servers begin at the first event whatever is asked for, and some streams end with an error while the response runs on.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_not_read_twice_and_an_error_of_the_stream_is_none_of_the_response() {
    for (cut_after, ignores_starting_after) in [(8, false), (40, true)] {
        const DELTAS: usize = 30;
        let speech = Speech { cut_after: Some(cut_after), cuts_with_error: true, ignores_starting_after, ..speech(DELTAS) };
        let keeper = Keeper::start(speech).await;
        let harness = harness(&keeper).await;
        let id = harness.start_generation(json!({ "max_attempts": 10 })).await;
        let record = harness.ended(&id).await;
        assert_eq!(record["status"], "completed", "{record}");
        assert_eq!(harness.text(&id).await, deltas(DELTAS).concat());
        assert_whole(&harness.events(&id).await);
        let kept = keeper.kept();
        assert_eq!((kept.created.len(), kept.generated, kept.cancelled.len()), (1, DELTAS, 0), "{kept:?}");
        assert!(!kept.reads.is_empty() || cut_after == 40, "{kept:?}");
        harness.finish().await;
    }
}

/// A response whose id is not known yet cannot be cancelled, and runs on although its connection is closed.
#[tokio::test(flavor = "multi_thread")]
async fn cancel_before_the_response_is_known_cancels_it_all_the_same() {
    let speech = Speech { answers_after: Duration::from_secs(1), pace: Duration::from_millis(20), ..speech(10_000) };
    let keeper = Keeper::start(speech).await;
    let harness = harness(&keeper).await;
    let id = harness.start_generation(json!({})).await;
    keeper.until(|kept| kept.created.len() == 1).await;
    harness.cancel(&id).await;
    keeper.until(|kept| kept.cancelled == ["resp_kept1"]).await;
    assert_eq!(harness.ended(&id).await["status"], "cancelled");
    harness.finish().await;
}

/// A response that fails before its first text is asked for again as often as any other request, and no attempt is spent on it.
#[tokio::test(flavor = "multi_thread")]
async fn response_that_fails_at_once_is_bounded() {
    let keeper = Keeper::start(Speech { fails: Some((2, 100)), ..speech(5) }).await;
    let harness = harness(&keeper).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["attempts"]), (&json!("failed"), &json!(1)), "{record}");
    assert_eq!(keeper.kept().created.len(), 4, "one attempt's tries");
    harness.finish().await;
}

/// OpenAI does so some minutes after a response was created.
#[tokio::test(flavor = "multi_thread")]
async fn response_that_is_no_longer_streamed_is_read_whole_at_its_end() {
    const DELTAS: usize = 40;
    let speech = Speech { cut_after: Some(20), streams_until: Some(10), pace: Duration::from_millis(20), ..speech(DELTAS) };
    let keeper = Keeper::start(speech).await;
    let harness = harness(&keeper).await;
    let id = harness.start_generation(json!({ "max_attempts": 2 })).await;
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["attempts"]), (&json!("completed"), &json!(2)), "{record}");
    assert_eq!(harness.text(&id).await, deltas(DELTAS).concat());
    assert_whole(&harness.events(&id).await);
    let kept = keeper.kept();
    assert_eq!((kept.created.len(), kept.generated, kept.cancelled.len()), (1, DELTAS, 0), "{kept:?}");
    assert_eq!(record["usage"]["total_tokens"], 7 + DELTAS, "{record}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn response_that_is_gone_begins_again_at_no_attempt() {
    let keeper = Keeper::start(Speech { cut_after: Some(15), pace: Duration::from_millis(20), ..speech(30) }).await;
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &keeper.providers()), ("LONGHAND_UNWATCHED_WINDOW_MS", "1")]).await;
    let id = harness.start_generation(json!({ "max_attempts": 4 })).await;
    harness.until(&id, |record| record["progress"]["received_bytes"].as_u64() > Some(20)).await;
    keeper.forget();
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(harness.text(&id).await, deltas(30).concat());
    let events = harness.events(&id).await;
    assert_whole(&events);
    let begun = count(&events, "in_progress") as u64;
    assert_eq!(record["attempts"], begun - 1, "one of {begun} was refused");
    assert_eq!(keeper.kept().created.len(), 2);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn response_that_failed_is_not_read_again() {
    let keeper = Keeper::start(Speech { fails: Some((12, 1)), ..speech(20) }).await;
    let harness = harness(&keeper).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["attempts"]), (&json!("completed"), &json!(2)), "{record}");
    assert_eq!(harness.text(&id).await, deltas(20).concat());
    let kept = keeper.kept();
    assert_eq!((kept.created.len(), kept.reads.len(), kept.cancelled.len()), (2, 0, 0), "{kept:?}");
    let keeper = Keeper::start(Speech { fails: Some((12, 9)), ..speech(20) }).await;
    let providers = keeper.providers();
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers)]).await;
    let id = harness.start_generation(json!({ "max_attempts": 1 })).await;
    let record = harness.ended(&id).await;
    assert_eq!(record["error"]["code"], "provider_error", "{record}");
    assert!(record["error"]["message"].as_str().unwrap().ends_with("The model is gone. (server_error)"), "{record}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_a_generation_cancels_its_response() {
    let keeper = Keeper::start(Speech { pace: Duration::from_millis(20), ..speech(10_000) }).await;
    let harness = harness(&keeper).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_bytes"].as_u64() > Some(0)).await;
    harness.cancel(&id).await;
    keeper.until(|kept| kept.cancelled == ["resp_kept1"]).await;
    let id = harness.start_generation(json!({ "max_output_bytes": 50 })).await;
    assert_eq!(harness.ended(&id).await["reason"], "output_limit");
    keeper.until(|kept| kept.cancelled.len() == 2).await;
    let id = harness.start_generation(json!({ "timeout": 1 })).await;
    assert_eq!(harness.ended(&id).await["reason"], "timeout");
    keeper.until(|kept| kept.cancelled.len() == 3).await;
    harness.finish().await;
}

/// The process of `stream` ends with the call in which it stores text, and the caller then cancels, or the time passes.
#[tokio::test(flavor = "multi_thread")]
async fn generation_ended_without_its_writer_cancels_its_response() {
    for ends in ["cancel", "sweep"] {
        let keeper = Keeper::start(Speech { pace: Duration::from_millis(20), ..speech(10_000) }).await;
        let faults = Faults::deciding(|number, function, call| {
            let stores = function == "stream" && call.operation == "PutItem";
            (stores && number > 12).then_some(Mode::KilledAfter)
        });
        let clock = Clock::system();
        let env = environment("", &[("LONGHAND_PROVIDERS", &keeper.providers()), ("LONGHAND_UNWATCHED_WINDOW_MS", "100")]);
        let options = Options { env, clock: clock.clone(), parts: faults.parts(), ..Options::default() };
        let harness = Harness::over(start_stack(options, &template_without(&["EveryMinute"]), faults.registry(&clock)).await);
        let id = harness.start_generation(json!({})).await;
        keeper.until(|kept| kept.generated > 5).await;
        while !(faults.is_idle() && faults.made().iter().any(|made| made.met.is_some())) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if ends == "cancel" {
            clock.advance(Duration::from_mins(1));
            harness.cancel(&id).await;
        } else {
            clock.advance(Duration::from_mins(32));
            harness.stack.invoke("sweep", json!({})).await.unwrap();
        }
        assert_eq!(keeper.until(|kept| !kept.cancelled.is_empty()).await.cancelled, ["resp_kept1"], "{ends}");
        harness.ended(&id).await;
        harness.finish().await;
    }
}

/// A writer that was taken for dead finds that its successor reads the same response on.
#[tokio::test(flavor = "multi_thread")]
async fn fenced_writer_leaves_the_response_to_its_successor() {
    let keeper = Keeper::start(Speech { pace: Duration::from_millis(10), ..speech(300) }).await;
    let clock = Clock::system();
    let env = environment("", &[("LONGHAND_PROVIDERS", &keeper.providers())]);
    let harness = Harness::without(&["EveryMinute"], Options { env, clock: clock.clone(), ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_bytes"].as_u64() > Some(0)).await;
    clock.advance(Duration::from_mins(2));
    harness.stack.invoke("sweep", json!({})).await.unwrap();
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(harness.text(&id).await, deltas(300).concat());
    let kept = keeper.kept();
    assert_eq!((kept.created.len(), kept.generated, kept.cancelled.len()), (1, 300, 0), "{kept:?}");
    harness.finish().await;
}
