//! What runs come to: every route of theirs, and steps that are taken on by `start`, by `settle` and by `sweep`.

use std::time::Duration;

use longhand::Clock;
use longhand_local::Options;
use longhand_tests::calls::Recorder;
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, PATIENCE, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::drive::{ask, large_prompt, options};

const PAUSE: Duration = Duration::from_millis(20);
/// A prompt that is answered until it is cancelled.
const ENDLESS: &str = "answer without an end";

/// Answers with an object; the first time to `C` with something else.
async fn provider() -> Hostile {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Hostile::improvising("test", move |_, body| match body["messages"][0]["content"].as_str().unwrap_or_default() {
        ENDLESS => Script::stream(std::iter::repeat_n(wire::text("more "), 100_000)).paced(Duration::from_millis(50)),
        "C" if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => Script::stream([wire::whole(&["no JSON"])]),
        _ => Script::stream([wire::whole(&["{\"a\":1}"])]),
    })
    .await
}

fn bounded(recorder: &Recorder, provider: &Hostile, clock: &Clock, faults: Option<&Faults>) -> Options {
    let env = [("LONGHAND_MAX_RUNNING", "9"), ("LONGHAND_MAX_RUNS", "1"), ("AWS_MAX_ATTEMPTS", "1")];
    options(recorder, environment(&provider.base_url("test"), &env), clock, faults)
}

/// The third step is told why it is tried again; the second one's request is large where the input is.
async fn publish(harness: &Harness) {
    let document = json!({
        "longhand": "pipeline/1", "name": "p", "input": { "type": "object", "properties": { "wanted": { "type": "boolean" }, "text": { "default": "uno" }, "last": { "type": "object" } } },
        "defaults": { "provider": "test", "model": "m", "output": { "type": "object" } },
        "steps": [
            { "id": "A", "prompt": "{{ input.text }}", "when": "input.wanted is not defined or input.wanted" },
            { "id": "B", "prompt": "B {{ input.text }}", "when": "input.wanted is not defined or input.wanted" },
            { "id": "C", "prompt": "C", "feedback": true, "when": "input.wanted is not defined or input.wanted" },
        ],
        "result": { "c": "steps.C.output" },
        "subject": "s.1",
    });
    ask(harness, "PUT", "/v1/pipelines/p", Some(&document), StatusCode::CREATED).await;
}

async fn post(harness: &Harness, path: &str, body: &Value) -> String {
    let answer = ask(harness, "POST", path, Some(body), StatusCode::ACCEPTED).await;
    serde_json::from_str::<Value>(&answer).unwrap()["id"].as_str().unwrap().to_owned()
}

async fn until(harness: &Harness, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let looks = async {
        loop {
            let (_, run) = harness.get(&format!("runs/{id}")).await;
            if is_so(&run) {
                return run;
            }
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, looks).await.expect("the run comes so far")
}

/// Runs that are read in every way, wait, are cancelled, repeated and deleted.
pub async fn that_go_on(recorder: Recorder) {
    let provider = provider().await;
    let harness = Harness::without(&["EveryMinute"], bounded(&recorder, &provider, &Clock::system(), None)).await;
    publish(&harness).await;
    let large = large_prompt();
    let id = post(&harness, "/v1/runs", &json!({ "pipeline": "p", "input": { "text": large } })).await;
    let events = harness.http.get(harness.url_of(&format!("/v1/runs/{id}/events"))).build().unwrap();
    let events = harness.execute(events).await;
    let run = until(&harness, &id, |run| !run["ended_at"].is_null()).await;
    assert_eq!(run["status"], "completed", "{run}");
    assert!(events.text().await.unwrap().contains("event: completed"));
    for way in ["", "/steps", "/steps/B", "/report"] {
        ask(&harness, "GET", &format!("/v1/runs/{id}{way}"), None, StatusCode::OK).await;
    }
    ask(&harness, "GET", "/v1/runs", None, StatusCode::OK).await;
    // One is at work, one waits and takes its place.
    let from = json!({ "text": { "run": id, "path": "steps.A.output" }, "last": { "subject": "s.1" } });
    let looks = async {
        while harness.get("subjects/s.1/versions/1").await.0 != StatusCode::OK {
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, looks).await.expect("the result becomes a version");
    let first = post(&harness, "/v1/runs", &json!({ "pipeline": "p", "input": { "text": ENDLESS } })).await;
    let second = post(&harness, "/v1/runs", &json!({ "pipeline": "p", "input_from": from })).await;
    until(&harness, &first, |run| run["progress"]["current_step"] == "A").await;
    ask(&harness, "POST", &format!("/v1/runs/{first}/cancel"), Some(&json!({})), StatusCode::OK).await;
    until(&harness, &first, |run| run["status"] == "cancelled").await;
    until(&harness, &second, |run| run["status"] == "completed").await;
    let again = post(&harness, &format!("/v1/runs/{second}/redrive"), &json!({ "from": "B" })).await;
    until(&harness, &again, |run| run["status"] == "completed").await;
    // Nothing of it is to be done: `start` completes it.
    let skipped = post(&harness, "/v1/runs", &json!({ "pipeline": "p", "input": { "wanted": false } })).await;
    until(&harness, &skipped, |run| run["status"] == "completed").await;
    ask(&harness, "DELETE", &format!("/v1/runs/{id}"), None, StatusCode::OK).await;
    harness.finish().await;
}

/// Runs that `start` and `settle` do not take on, and `sweep` does.
pub async fn that_are_left_alone(recorder: Recorder) {
    let provider = provider().await;
    let clock = Clock::system();
    // Neither begins a run, nor counts the end of a step.
    let faults = Faults::deciding(|_, function, call| {
        let is_plan = call.operation == "TransactWriteItems";
        (function == "settle" && is_plan).then_some(Mode::Refused)
    });
    let harness = Harness::without(&["EveryMinute"], bounded(&recorder, &provider, &clock, Some(&faults))).await;
    publish(&harness).await;
    let large = large_prompt();
    let id = post(&harness, "/v1/runs", &json!({ "pipeline": "p", "input": { "text": large } })).await;
    let waiting = post(&harness, "/v1/runs", &json!({ "pipeline": "p", "input": { "text": ENDLESS } })).await;
    let sweep = async |later: Duration| {
        clock.advance(later);
        harness.stack.invoke("sweep", json!({})).await.unwrap();
    };
    // Each step ends by itself, and is counted when the run has not changed for a while.
    for _ in 0..4 {
        let (_, steps) = harness.get(&format!("runs/{id}/steps")).await;
        let steps = steps["data"].as_array().unwrap();
        let Some(running) = steps.iter().find(|step| step["status"] == "running") else { break };
        harness.ended(running["generation"].as_str().unwrap()).await;
        sweep(Duration::from_secs(61)).await;
    }
    until(&harness, &id, |run| run["status"] == "completed").await;
    // Its time is over, and what runs of it is cancelled.
    sweep(Duration::from_mins(31)).await;
    let (_, step) = harness.get(&format!("runs/{waiting}/steps/A")).await;
    harness.ended(step["generation"].as_str().unwrap()).await;
    sweep(Duration::from_secs(61)).await;
    until(&harness, &waiting, |run| run["reason"] == "timeout").await;
    harness.finish().await;
}
