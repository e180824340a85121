//! Cancel is final when it is answered.

use std::time::{Duration, Instant};

use longhand_local::playback::Ending;
use longhand_local::{Playback, Script};
use longhand_tests::hostile::{self, Hostile, wire};
use longhand_tests::sampling::rounds;
use longhand_tests::{Harness, PATIENCE, assert_whole};
use reqwest::StatusCode;
use serde_json::json;

fn script(deltas: usize, tempo: f64) -> Script {
    Script { deltas: (0..deltas).map(|number| format!("{number} ")).collect(), tempo, ..Script::default() }
}

async fn until_closed(playback: &Playback) -> Duration {
    let began = Instant::now();
    while playback.stats().closed_early == 0 {
        assert!(began.elapsed() < PATIENCE, "the provider's connection stays open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_the_log_and_closes_the_provider() {
    let (harness, playback) = Harness::playing(script(10_000, 200.0), &[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"].as_u64() > Some(10)).await;
    let (status, cancelled) = harness.cancel(&id).await;
    assert_eq!((status, &cancelled["status"]), (StatusCode::OK, &json!("cancelled")));
    let events = harness.events(&id).await;
    assert_whole(&events);
    eprintln!("the provider's connection was closed {:?} after the answer", until_closed(&playback).await);
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "cancelled");
    assert_eq!(harness.events(&id).await, events, "no further text");
    let (status, again) = harness.cancel(&id).await;
    assert_eq!((status, &again["status"]), (StatusCode::OK, &json!("cancelled")));
    let text: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(harness.text(&id).await, text, "what was received is kept");
    harness.finish().await;
}

/// Nothing flushes within the unwatched window but what fills a write unit, so the words behind the first text are in memory.
#[tokio::test(flavor = "multi_thread")]
async fn cancel_keeps_what_waits_in_memory() {
    let first = "a".repeat(2_000);
    let words: String = (0..40).map(|number| wire::text(&format!("{number} "))).collect();
    let script = hostile::Script::stream([wire::text(&first), words]).paced(Duration::from_millis(50));
    let hostile = Hostile::start([("test", vec![script.ending(hostile::Ending::Stall)])]).await;
    let harness = Harness::start(&hostile.base_url("test"), &[("LONGHAND_UNWATCHED_WINDOW_MS", "60000")]).await;
    let whole: String = [first].into_iter().chain((0..40).map(|number| format!("{number} "))).collect();
    for _ in 0..rounds(50, 10) {
        let id = harness.start_generation(json!({})).await;
        harness.until(&id, |record| record["progress"]["received_chunks"].as_u64() > Some(0)).await;
        hostile.until("test", |seen| seen.played == seen.bodies.len()).await;
        let (status, cancelled) = harness.cancel(&id).await;
        assert_eq!((status, &cancelled["status"]), (StatusCode::OK, &json!("cancelled")));
        let record = harness.ended(&id).await;
        assert_eq!(harness.text(&id).await, whole);
        assert_eq!(record["usage"]["estimated"], true);
        assert_whole(&harness.events(&id).await);
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_closes_a_silent_provider() {
    for first_byte_delay in [Duration::ZERO, Duration::from_mins(10)] {
        let script = Script { ending: Ending::Stall, first_byte_delay, ..script(3, 0.0) };
        let (harness, playback) = Harness::playing(script, &[]).await;
        let id = harness.start_generation(json!({})).await;
        harness.until(&id, |record| record["status"] == "running" && playback.stats().requests == 1).await;
        let (status, _) = harness.cancel(&id).await;
        assert_eq!(status, StatusCode::OK);
        eprintln!("the silent provider's connection was closed {:?} after the answer", until_closed(&playback).await);
        assert_eq!(harness.ended(&id).await["status"], "cancelled");
        assert_whole(&harness.events(&id).await);
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_generation_cannot_be_cancelled() {
    let (harness, _playback) = Harness::playing(script(3, 0.0), &[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let (status, problem) = harness.cancel(&id).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("already_ended")));
    assert_eq!(problem["detail"], format!("generation {id} cannot be cancelled: it has ended as completed"));
    assert_eq!(harness.cancel("gen_01arz3ndektsv4rrffq69g5fav").await.0, StatusCode::NOT_FOUND);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_races_a_thousand_times_with_one_outcome_each() {
    const AT_ONCE: usize = 20;
    let races_max = usize::try_from(rounds(1_000, 200)).unwrap();
    let (harness, _playback) = Harness::playing(script(2, 0.0), &[]).await;
    let mut outcomes = [0_usize; 2];
    for round in 0..races_max / AT_ONCE {
        let races = (0..AT_ONCE).map(|place| {
            let harness = &harness;
            async move {
                let id = harness.start_generation(json!({})).await;
                // Later rounds wait longer, for a busy machine.
                let wait = ((round * AT_ONCE + place) % 40) << (round % 6);
                tokio::time::sleep(Duration::from_millis(wait as u64)).await;
                let (status, answer) = harness.cancel(&id).await;
                // Twenty that ask every few milliseconds would be most of the work.
                tokio::time::sleep(Duration::from_millis(200)).await;
                let record = harness.ended(&id).await;
                let events = harness.events(&id).await;
                assert_whole(&events);
                let was_cancelled = status == StatusCode::OK;
                let expected = if was_cancelled { "cancelled" } else { "completed" };
                assert_eq!(record["status"], expected, "answered {answer}");
                assert_eq!(events.last().unwrap()["type"], expected);
                usize::from(was_cancelled)
            }
        });
        for outcome in futures::future::join_all(races).await {
            outcomes[outcome] += 1;
        }
    }
    eprintln!("{} completed, {} cancelled", outcomes[0], outcomes[1]);
    assert!(outcomes.iter().all(|count| *count > 0), "both must win sometimes: {outcomes:?}");
    harness.finish().await;
}
