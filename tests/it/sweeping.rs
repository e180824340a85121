//! `sweep` sets going again what stands still.

use std::time::Duration;

use longhand::Clock;
use longhand_local::{Options, Playback, Script};
use longhand_tests::{Harness, assert_whole, environment};
use serde_json::json;

fn text() -> Script {
    Script { deltas: vec!["uno ".into(), "0".into(), "dos".into()], ..Script::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_whose_invoke_was_lost_is_streamed_by_the_sweep() {
    let playback = Playback::start(text()).unwrap();
    let clock = Clock::system();
    // `start` invokes a function that is not there: it accepts all the same, for the record is stored.
    let env = environment(playback.base_url(), &[]);
    let lost = environment(playback.base_url(), &[("LONGHAND_STREAM_FUNCTION", "nobody")]);
    let folder = tempfile::tempdir().unwrap();
    let data = longhand_local::Data::Folder(folder.path().to_owned());
    let harness = Harness::with(Options { data: data.clone(), clock: clock.clone(), env: lost, ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    harness.stack.shutdown().await;

    let harness = Harness::without(&["EveryMinute"], Options { data, clock: clock.clone(), env, ..Options::default() }).await;
    assert_eq!(harness.stack.invoke("sweep", json!({})).await.unwrap(), json!({ "open": 1, "streamed": 0, "compacted": 0 }));
    clock.advance(Duration::from_mins(2));
    assert_eq!(harness.stack.invoke("sweep", json!({})).await.unwrap(), json!({ "open": 1, "streamed": 1, "compacted": 0 }));
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "completed");
    assert_eq!(harness.text(&id).await, "uno 0dos");
    assert_eq!(harness.stack.invoke("sweep", json!({})).await.unwrap(), json!({ "open": 0, "streamed": 0, "compacted": 0 }));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_end_nobody_noticed_is_compacted_by_the_sweep() {
    let playback = Playback::start(text()).unwrap();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["Ended", "EveryMinute"], options).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 3).await;
    clock.advance(Duration::from_mins(2));
    loop {
        let swept = harness.stack.invoke("sweep", json!({})).await.unwrap();
        if swept["compacted"] == 1 {
            break;
        }
    }
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["compacted_by"]), (&json!("completed"), &json!("sweep")));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_is_over_its_time_ends_as_failed_with_the_reason_timeout() {
    let playback = Playback::start(Script { first_byte_delay: Duration::from_mins(10), ..text() }).unwrap();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::with(options).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["status"] == "running").await;
    clock.advance(Duration::from_mins(31));
    harness.stack.invoke("sweep", json!({})).await.unwrap();
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("timeout")));
    assert_whole(&harness.events(&id).await);
    harness.finish().await;
}
