//! What happens when things go wrong: lost invokes, overtime, damaged logs, and a function whose time runs out.

use std::sync::Arc;
use std::time::Duration;

use longhand::Clock;
use longhand_local::Script;
use longhand_tests::calls::Recorder;
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::keeper::{Keeper, Speech};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment, key_of, start_stack, template_without, with_writer_timeout};
use reqwest::StatusCode;
use serde_json::json;

use super::drive::{Stores, job, options, until_called};

/// A sweep finds a generation whose invoke was lost, and then that it is over its time.
pub async fn a_lost_invoke_and_an_overtime(recorder: Recorder) {
    let provider = play(Script { first_byte_delay: Duration::from_mins(10), ..Script::new(["Hola"]) }).unwrap();
    let faults = Faults::deciding(|_, function, call| {
        (function == "start" && call.operation == "InvokeFunction").then_some(Mode::Refused)
    });
    let clock = Clock::system();
    let env = environment(provider.base_url(), &[("AWS_MAX_ATTEMPTS", "1")]);
    let harness = Harness::without(&["EveryMinute"], options(&recorder, env, &clock, Some(&faults))).await;
    let id = harness.start_generation(json!({})).await;
    clock.advance(Duration::from_mins(1));
    harness.stack.invoke("sweep", json!({})).await.unwrap();
    harness.until(&id, |record| record["status"] == "running").await;
    clock.advance(Duration::from_mins(31));
    harness.stack.invoke("sweep", json!({})).await.unwrap();
    assert_eq!(harness.ended(&id).await["reason"], "timeout");
    harness.finish().await;
}

/// More starts want to stay attached than may.
pub async fn too_many_attached(recorder: Recorder) {
    let provider = play(Script { first_byte_delay: Duration::from_mins(10), ..Script::new(["Hola"]) }).unwrap();
    let env = environment(provider.base_url(), &[("LONGHAND_MAX_ATTACHED", "1")]);
    let harness = Harness::without(&["EveryMinute"], options(&recorder, env, &Clock::system(), None)).await;
    let body = json!({ "provider": "test", "model": "m", "prompt": "Hola", "stream": true });
    let attach = || harness.http.post(format!("{}/v1/generations", harness.stack.url())).json(&body).send();
    let first = attach().await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(attach().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let id = first.headers()["location"].to_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(harness.cancel(&id).await.0, StatusCode::OK);
    first.text().await.unwrap();
    harness.ended(&id).await;
    harness.finish().await;
}

/// A writer meets a log that contradicts itself.
pub async fn a_damaged_log(recorder: Recorder) {
    let script = Script { tempo: 100.0, ..Script::new((0..600).map(|number| format!("{number} "))) };
    let provider = play(script).unwrap();
    let env = environment(provider.base_url(), &[("LONGHAND_UNWATCHED_WINDOW_MS", "1")]);
    let harness = Harness::without(&["EveryMinute"], options(&recorder, env, &Clock::system(), None)).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["chunk_count"].as_u64() > Some(4)).await;
    let app = harness.stack.app().await.unwrap();
    let slots = app.inspect(&key_of(&id)).await.unwrap().slots;
    Stores::of(&harness).await.delete_slot(&id, slots[2].seq).await;
    assert_eq!(harness.stack.invoke("stream", job(&id)).await.unwrap()["outcome"], json!({ "ended": "failed" }));
    assert_eq!(harness.ended(&id).await["reason"], "log_damaged");
    harness.finish().await;
}

/// A writer's function is over its time, and invokes the next one.
pub async fn a_hand_over(recorder: Recorder) {
    let script = Script { tempo: 40.0, ..Script::new((0..280).map(|number| format!("{number} "))) };
    let provider = play(script).unwrap();
    let provider = json!({ "test": { "base_url": provider.base_url(), "continuation": "trailing_assistant" } }).to_string();
    let env = environment("", &[("LONGHAND_PROVIDERS", &provider)]);
    // A writer has half of it, and this one needs more.
    let template = with_writer_timeout(&template_without(&["EveryMinute"]), 10);
    let options = options(&recorder, env, &Clock::system(), None);
    let harness = Harness::over(start_stack(options, &template, Arc::new(longhand_functions::function)).await);
    let id = harness.start_generation(json!({})).await;
    until_called(&recorder, "stream", "InvokeFunction").await;
    // This provider begins again each time, so nothing else ends it.
    assert_eq!(harness.cancel(&id).await.0, StatusCode::OK);
    harness.ended(&id).await;
    harness.finish().await;
}

/// A caller cancels a generation whose writer's process has ended, while its provider works on.
pub async fn a_response_without_a_writer(recorder: Recorder) {
    let deltas = (0..10_000).map(|number| format!("{number} ")).collect();
    let keeper = Keeper::start(Speech { deltas, pace: Duration::from_millis(20), ..Speech::default() }).await;
    let faults = Faults::deciding(|number, function, call| {
        (function == "stream" && call.operation == "PutItem" && number > 12).then_some(Mode::KilledAfter)
    });
    let clock = Clock::system();
    let env = environment("", &[("LONGHAND_PROVIDERS", &keeper.providers()), ("LONGHAND_UNWATCHED_WINDOW_MS", "100")]);
    let harness = Harness::without(&["EveryMinute"], options(&recorder, env, &clock, Some(&faults))).await;
    let id = harness.start_generation(json!({})).await;
    keeper.until(|kept| kept.generated > 5).await;
    while !faults.made().iter().any(|made| made.met.is_some()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    clock.advance(Duration::from_mins(1));
    assert_eq!(harness.cancel(&id).await.0, StatusCode::OK);
    keeper.until(|kept| !kept.cancelled.is_empty()).await;
    harness.ended(&id).await;
    harness.finish().await;
}
