//! Crashes: each call that a run's functions make meets each fault. Whatever is lost, the run ends with every step's work once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longhand::Clock;
use longhand_local::Options;
use longhand_tests::faults::{Faults, Made, Mode};
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::walk::walk;
use longhand_tests::{Harness, PATIENCE, environment, start_stack, template_without};
use serde_json::{Value, json};

use super::step_of;

const FAULTS_SAMPLED: usize = 32;
const SIDE_BY_SIDE: usize = 12;
const SWEEP_EVERY: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(30);
/// One for the provider's fault, one for the walk's: a process that ends costs the try that it was writing.
const TRIES: u64 = 3;

/// Two steps side by side behind the first, one of which fails at first; one that is skipped; and one behind them all.
fn document() -> Value {
    json!({
        "longhand": "pipeline/1", "name": "walk",
        "limits": { "timeout": "6h", "max_parallel": 2 },
        "defaults": { "provider": "test", "model": "m", "retries": TRIES - 1, "output": { "type": "object", "required": ["step"] } },
        "steps": [
            { "id": "A", "prompt": "A:" },
            { "id": "B", "prompt": "B: {{ steps.A.output.step }}", "needs": ["A"] },
            { "id": "C", "prompt": "C: {{ steps.A.output.step }}", "needs": ["A"] },
            { "id": "D", "prompt": "D:", "needs": ["A"], "when": "false" },
            { "id": "E", "prompt": "E: {{ steps.B.output.step }} {{ steps.C.output.step }}", "needs": ["B", "C", "D"] },
        ],
        "result": { "b": "steps.B.output.step", "e": "steps.E.output.step" },
        "subject": "walked",
    })
}

/// What does not hold after the life of a run, one of whose functions' calls meets a fault.
async fn live(plan: Option<(usize, Mode)>) -> (usize, Vec<String>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let provider = {
        let asked = Arc::clone(&asked);
        Hostile::improvising("test", move |_, body| {
            let step = step_of(body);
            let mut asked = asked.lock().unwrap();
            asked.push(step.clone());
            let is_first_of_c = step == "C" && asked.iter().filter(|asked| **asked == "C").count() == 1;
            if is_first_of_c {
                Script::stream([wire::whole(&["no JSON"])])
            } else {
                Script::stream([wire::whole(&[&json!({ "step": step }).to_string()])])
            }
        })
        .await
    };
    let calls = Arc::new(AtomicUsize::new(0));
    let faults = {
        let calls = Arc::clone(&calls);
        // `api` answers the test, and `sweep` mends.
        Faults::deciding(move |_, function, _| {
            let is_walked = ["start", "stream", "compact", "settle"].contains(&function);
            let number = is_walked.then(|| calls.fetch_add(1, Ordering::SeqCst))?;
            plan.filter(|(at, _)| *at == number).map(|(_, mode)| mode)
        })
    };
    let clock = Clock::system();
    let options = Options {
        env: environment(&provider.base_url("test"), &[("LONGHAND_UNWATCHED_WINDOW_MS", "50"), ("AWS_MAX_ATTEMPTS", "1")]),
        clock: clock.clone(),
        retry_delay: Duration::from_millis(1),
        parts: faults.parts(),
        ..Options::default()
    };
    let registry = faults.registry(&clock);
    let harness = Harness::over(start_stack(options, &template_without(&["EveryMinute"]), registry).await);
    let late = clock.clone();
    faults.meanwhile(move || {
        late.advance(SWEEP_EVERY);
        tokio::time::sleep(Duration::from_millis(150))
    });
    let wrong = Box::pin(violations(&harness, &faults, &clock, &asked)).await;
    let made = calls.load(Ordering::SeqCst);
    harness.stack.shutdown().await;
    drop(provider);
    (made, wrong)
}

async fn start(harness: &Harness) -> Result<String, String> {
    let mut told = Value::Null;
    for _ in 0..8 {
        let post =
            harness.http.post(harness.url_of("/v1/runs")).header("idempotency-key", "k").json(&json!({ "pipeline": "walk" }));
        // A process that is killed does not answer.
        let Ok(answer) = post.send().await else { continue };
        let is_accepted = answer.status().is_success();
        told = answer.json().await.unwrap_or_default();
        if let (true, Some(id)) = (is_accepted, told["id"].as_str()) {
            return Ok(id.to_owned());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(format!("it was not started: {told}"))
}

/// Sweeps until the run has ended.
async fn ended(harness: &Harness, faults: &Faults, clock: &Clock, id: &str) -> Result<Value, String> {
    let began = Instant::now();
    loop {
        let run = harness.get(&format!("runs/{id}")).await.1;
        if !run["ended_at"].is_null() {
            return Ok(run);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("it does not end: {run} {}", harness.get(&format!("runs/{id}/steps")).await.1));
        }
        if faults.is_idle() {
            clock.advance(SWEEP_EVERY);
            drop(harness.stack.invoke("sweep", json!({})).await);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn violations(harness: &Harness, faults: &Faults, clock: &Clock, asked: &Mutex<Vec<String>>) -> Vec<String> {
    let put = harness.http.put(harness.url_of("/v1/pipelines/walk")).json(&document());
    assert!(put.send().await.unwrap().status().is_success());
    let id = match start(harness).await {
        Ok(id) => id,
        Err(wrong) => return vec![wrong],
    };
    let ended = match ended(harness, faults, clock, &id).await {
        Ok(ended) => ended,
        Err(wrong) => return vec![wrong],
    };
    let mut wrong = Vec::new();
    let mut must = |holds: bool, otherwise: String| {
        if !holds {
            wrong.push(otherwise);
        }
    };
    must(ended["status"] == "completed" && ended["result"] == json!({ "b": "B", "e": "E" }), format!("it ended as {ended}"));
    let steps = harness.get(&format!("runs/{id}/steps")).await.1;
    let mut made = BTreeMap::new();
    for step in steps["data"].as_array().into_iter().flatten() {
        let (name, tries) = (step["id"].as_str().unwrap_or_default(), step["tries"].as_u64().unwrap_or_default());
        let expected = if name == "D" { "skipped" } else { "completed" };
        must(step["status"] == expected && tries <= TRIES, format!("{step}"));
        must(step["generations"].as_array().map(Vec::len) == Some(usize::try_from(tries).unwrap()), format!("{step}"));
        made.insert(name.to_owned(), tries);
    }
    // A try asks the provider once at most, and a step that has completed never again. A request whose connection broke before any answer is
    // sent again within its try: no provider tells whether it had taken the first.
    let is_lost = |made: &&Made| made.call.service == "provider" && made.met == Some(Mode::AnswerLost);
    let lost = faults.made().iter().filter(is_lost).count() as u64;
    for (step, tries) in &made {
        let requests = asked.lock().unwrap().iter().filter(|asked| *asked == step).count() as u64;
        must(requests <= *tries + lost, format!("{step} was asked for {requests} times in {tries} tries"));
    }
    // Four steps that run, the provider's fault, and the two tries that a killed process may have been writing side by side.
    must(made.values().sum::<u64>() <= 4 + 1 + 2, format!("more than the fault's tries were lost: {made:?}"));
    // The log has every revision, and each start and end once.
    let report = harness.get(&format!("runs/{id}/report")).await.1;
    let log = report["log"].as_array().cloned().unwrap_or_default();
    let count = |kind: &str| log.iter().filter(|entry| entry["type"] == kind).count() as u64;
    let tries: u64 = made.values().sum();
    must((count("step_started"), count("step_completed"), count("completed")) == (tries, 4, 1), format!("{log:?}"));
    let began = Instant::now();
    while harness.get("subjects/walked/versions/1").await.0 != reqwest::StatusCode::OK {
        if began.elapsed() > PATIENCE {
            must(false, "the result has become no version".into());
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // Whatever comes late changes nothing.
    clock.advance(SWEEP_EVERY);
    drop(harness.stack.invoke("sweep", json!({})).await);
    must(harness.get("subjects/walked/versions/2").await.0 == reqwest::StatusCode::NOT_FOUND, "two versions".into());
    let later = harness.get(&format!("runs/{id}")).await.1;
    must(later == ended, format!("it has changed: {later} was {ended}"));
    wrong
}

/// Each call of a run's life meets each mode; a sample by seed, unless `LONGHAND_FAULT_RUNS` or a full run asks for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn crash_walk_of_a_run() {
    walk("a run", (FAULTS_SAMPLED, SIDE_BY_SIDE), live).await;
}
