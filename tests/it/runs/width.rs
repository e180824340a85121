//! What a step costs beyond its generation, and how soon the next one begins.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longhand_local::Options;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::sampling::rounds;
use longhand_tests::serial::turn;
use longhand_tests::{Harness, PATIENCE, environment};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::PAUSE;

/// Write units of a step beyond those of its generation.
const UNITS_MAX: u64 = 16;
const STEPS: usize = 18;

fn chain() -> Value {
    let steps: Vec<Value> =
        (1..=STEPS).map(|number| json!({ "id": format!("S{number}"), "prompt": format!("S{number}: go on") })).collect();
    json!({ "longhand": "pipeline/1", "name": "wide", "defaults": { "provider": "test", "model": "m" }, "steps": steps })
}

async fn run(harness: &Harness, body: &Value) -> Value {
    let post = harness.http.post(harness.url_of("/v1/runs")).json(body);
    let (_, started) = harness.send(post.build().unwrap()).await;
    let id = started["id"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned();
    let began = Instant::now();
    loop {
        let run = harness.get(&format!("runs/{id}")).await.1;
        if !run["ended_at"].is_null() {
            return run;
        }
        assert!(began.elapsed() < PATIENCE * 4, "{run}");
        sleep(PAUSE).await;
    }
}

async fn stack(provider: &Hostile) -> Harness {
    let harness = Harness::with(Options { env: environment(&provider.base_url("test"), &[]), ..Options::default() }).await;
    let put = harness.http.put(harness.url_of("/v1/pipelines/wide")).json(&chain());
    assert!(harness.send(put.build().unwrap()).await.0.is_success());
    harness
}

#[expect(clippy::print_stderr, reason = "the figures")]
#[tokio::test(flavor = "multi_thread")]
async fn a_step_costs_what_it_may() {
    let provider = Hostile::improvising("test", |_, _| Script::stream([wire::whole(&["Sevilla"])])).await;
    let harness = stack(&provider).await;
    let table = harness.config("start").records_table;
    // What a generation costs by itself.
    let before = harness.stack.write_units_of(&table);
    for _ in 0..STEPS {
        let id = harness.start_generation(json!({ "prompt": "S1: go on", "max_attempts": 1 })).await;
        harness.ended(&id).await;
    }
    let alone = harness.stack.write_units_of(&table) - before;
    let before = harness.stack.write_units_of(&table);
    let ended = run(&harness, &json!({ "pipeline": "wide" })).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    let in_run = harness.stack.write_units_of(&table) - before;
    let each = (in_run - alone).div_ceil(STEPS as u64);
    eprintln!("{STEPS} steps: {in_run} write units, {alone} of their generations by themselves: {each} more for each step");
    assert!(each <= UNITS_MAX, "{each}");
    harness.finish().await;
}

#[expect(clippy::print_stderr, reason = "the figures")]
#[tokio::test(flavor = "multi_thread")]
async fn the_next_step_begins_soon() {
    let _turn = turn().await;
    let runs = rounds(20, 3);
    let times: Arc<Mutex<Vec<(Instant, Instant)>>> = Arc::default();
    let provider = {
        let times = Arc::clone(&times);
        Hostile::improvising("test", move |_, _| {
            let began = Instant::now();
            // Three pieces, 20 ms apart; the last is sent by then.
            times.lock().unwrap().push((began, began + Duration::from_millis(40)));
            Script::stream([wire::text("a"), wire::text("b"), wire::ending()]).paced(Duration::from_millis(20))
        })
        .await
    };
    let harness = stack(&provider).await;
    let mut waits = Vec::new();
    for _ in 0..runs {
        times.lock().unwrap().clear();
        assert_eq!(run(&harness, &json!({ "pipeline": "wide" })).await["status"], "completed");
        let times = times.lock().unwrap().clone();
        waits.extend(times.windows(2).map(|pair| pair[1].0.saturating_duration_since(pair[0].1)));
    }
    waits.sort();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    eprintln!("{runs} runs of {STEPS} steps: from an end to the next request {:?} (median), {:?} (99 %)", at(50), at(99));
    harness.finish().await;
}
