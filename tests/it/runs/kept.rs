//! What of a run is stored: once, in one piece, and for as long as it is kept.

use std::time::{Duration, Instant};

use longhand::{App, Clock, Organization};
use longhand_local::Options;
use longhand_tests::PATIENCE;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Fate, PAUSE, Scene, chain};

const DAY: Duration = Duration::from_hours(24);
/// Longer than anything is idle before the sweep looks at it.
const IDLE: Duration = Duration::from_mins(3);

/// A pipeline whose result has its input so often.
fn large(parts: usize) -> Value {
    let result: serde_json::Map<String, Value> =
        (0..parts).map(|number| (format!("part_{number}"), json!("input.text"))).collect();
    json!({
        "longhand": "pipeline/1", "name": "large", "defaults": { "provider": "test", "model": "m" },
        "input": { "type": "object", "properties": { "text": { "type": "string" } } },
        "steps": [{ "id": "A", "prompt": "A: go on with it" }],
        "result": result,
    })
}

async fn app(scene: &Scene, clock: Clock) -> (App, Organization) {
    (scene.harness.app(scene.harness.config("sweep"), clock).await, "local".parse().unwrap())
}

/// A stack whose steps are taken on by the sweep alone.
async fn unsettled(clock: &Clock) -> Scene {
    let without = ["Outcome", "EveryMinute"];
    Scene::without(&without, Options { clock: clock.clone(), ..Options::default() }, &[]).await
}

/// Takes a run on by the sweep until it has ended.
async fn swept(scene: &Scene, clock: &Clock, id: &str) -> Value {
    let began = Instant::now();
    loop {
        let run = scene.get(&format!("runs/{id}")).await;
        if !run["ended_at"].is_null() {
            return run;
        }
        assert!(began.elapsed() < PATIENCE, "{run}");
        clock.advance(IDLE);
        scene.harness.stack.invoke("sweep", json!({})).await.unwrap();
        sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_result_is_a_link_and_in_the_report_of_the_command() {
    let scene = Scene::start().await;
    scene.publish(&large(40)).await;
    let text = "ñandú ".repeat(5_000);
    let id = scene.run(&json!({ "pipeline": "large", "input": { "text": text } })).await;
    let run = scene.ended(&id).await;
    assert_eq!((&run["status"], &run["result"]), (&json!("completed"), &Value::Null), "{}", run["status"]);
    assert!(run.to_string().len() < 10_000);
    let report = scene.get(&format!("runs/{id}/report")).await;
    assert_eq!((&report["is_coherent"], &report["run"]["result"]), (&json!(true), &Value::Null));
    let url = report["run"]["result_url"].as_str().unwrap();
    let result: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(result["part_39"], text);
    // Lists have neither results nor checks.
    let listed = &scene.get("runs").await["data"][0];
    assert_eq!((listed.get("result_url"), listed.get("checks")), (None, None), "{listed}");
    let whole = json!({ "pipeline": "large", "input_from": { "text": { "run": id, "path": "result" }, "more": { "run": id, "path": "result" }, "most": { "run": id, "path": "result" } } });
    let (status, problem) = scene.ask("POST", "runs", &[], Some(&whole)).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/input_from")), "{problem}");
    // An earlier result is read whole, whatever its size.
    let body = json!({ "pipeline": "large", "input_from": { "text": { "run": id, "path": "result.part_3" } } });
    let next = scene.run(&body).await;
    assert_eq!(scene.ended(&next).await["status"], "completed");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_to_its_run_whatever_has_changed_since() {
    let scene = Scene::start().await;
    scene.publish(&chain()).await;
    let (key, body) = ([("idempotency-key", "one")], json!({ "pipeline": "chain", "input": { "topic": "t" } }));
    let (_, run) = scene.ask("POST", "runs", &key, Some(&body)).await;
    let id = run["id"].as_str().unwrap();
    scene.ended(id).await;
    let of_run = json!({ "pipeline": "chain", "input_from": { "topic": { "run": id, "path": "result.last.step" } } });
    let second = [("idempotency-key", "two")];
    let (_, taken) = scene.ask("POST", "runs", &second, Some(&of_run)).await;
    assert_eq!(scene.ended(taken["id"].as_str().unwrap()).await["status"], "completed");
    // The newest version takes no such input any more, and the earlier result is gone.
    let mut stricter = chain();
    stricter["input"]["properties"]["topic"]["minLength"] = json!(10);
    scene.publish(&stricter).await;
    scene.done("DELETE", &format!("runs/{id}"), &json!({})).await;
    let (status, again) = scene.ask("POST", "runs", &second, Some(&of_run)).await;
    assert_eq!((status, &again["id"]), (StatusCode::ACCEPTED, &taken["id"]), "{again}");
    let (status, other) = scene.ask("POST", "runs", &second, Some(&json!({ "pipeline": "chain" }))).await;
    assert_eq!((status, &other["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("validation_error")), "{other}");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_told_of_the_version_and_of_input_that_was_stored_though_wrong() {
    let scene = Scene::start().await;
    scene.publish(&chain()).await;
    let endpoint = json!({ "url": "http://127.0.0.1:1/", "events": ["run.*", "step.failed", "version.created"] });
    let endpoint = scene.done("POST", "webhooks", &endpoint).await;
    let id = scene.run(&json!({ "pipeline": "chain", "input": { "topic": "t" }, "notify": { "webhook": true } })).await;
    scene.ended(&id).await;
    let wrong = json!({ "pipeline": "chain", "input": {}, "store_invalid": true, "notify": { "webhook": true } });
    scene.run(&wrong).await;
    scene.fate("B", [Fate::Refused]);
    let failed = scene.run(&json!({ "pipeline": "chain", "input": { "topic": "t" }, "notify": { "webhook": true } })).await;
    scene.ended(&failed).await;
    let path = format!("webhooks/{}/deliveries?limit=100", endpoint["id"].as_str().unwrap());
    let began = Instant::now();
    loop {
        let page = scene.get(&path).await;
        let mut told: Vec<&str> = page["data"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
        told.sort_unstable();
        if told == ["run.completed", "run.failed", "run.failed", "step.failed", "version.created"] {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{page}");
        sleep(PAUSE).await;
    }
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_were_not_settled_become_versions_afterwards() {
    let clock = Clock::system();
    let scene = unsettled(&clock).await;
    scene.publish(&chain()).await;
    let since = clock.now_ms();
    let mut ids = Vec::new();
    for topic in ["kept", "deleted"] {
        ids.push(scene.run(&json!({ "pipeline": "chain", "input": { "topic": topic } })).await);
    }
    for id in &ids {
        assert_eq!(swept(&scene, &clock, id).await["status"], "completed");
    }
    // A run that is deleted leaves the version that it has not made yet.
    scene.done("DELETE", &format!("runs/{}", ids[1]), &json!({})).await;
    assert_eq!(scene.get("subjects/plan:deleted").await["current"], 1);
    let (app, _) = app(&scene, clock).await;
    assert_eq!(app.catch_up_settling(since, false).await.unwrap(), 1);
    assert_eq!(scene.harness.get("subjects/plan:kept").await.0, StatusCode::NOT_FOUND, "it was a dry run");
    assert_eq!(app.catch_up_settling(since, true).await.unwrap(), 1);
    assert_eq!(scene.get("subjects/plan:kept").await["current"], 1);
    assert_eq!(app.catch_up_settling(since, true).await.unwrap(), 0);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_runs_are_deleted_after_their_time_and_objects_that_no_run_has() {
    let clock = Clock::system();
    let scene = Scene::without(&["EveryMinute"], Options { clock: clock.clone(), ..Options::default() }, &[]).await;
    scene.publish(&large(2)).await;
    let text = "x".repeat(700_000);
    let old = scene.run(&json!({ "pipeline": "large", "input": { "text": text } })).await;
    assert_eq!(scene.ended(&old).await["status"], "completed");
    let (app, local) = app(&scene, clock.clone()).await;
    let clients = scene.harness.clients().await;
    let bucket = scene.harness.config("sweep").bucket.clone();
    let objects = async || -> Vec<String> {
        let listed = clients.s3.list_objects_v2().bucket(&bucket).prefix("local/runs/").send().await.unwrap();
        listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    };
    assert_eq!(objects().await.len(), 2, "a large input, and the result");
    let left = longhand::RunId::new(clock.now_ms());
    let put = clients.s3.put_object().bucket(&bucket).key(format!("local/runs/{left}/input-0.json"));
    put.body(b"{}".to_vec().into()).send().await.unwrap();
    assert!(app.retain_runs(&local, None, true).await.unwrap().objects.is_empty(), "its start may be under way");
    clock.advance(30 * DAY);
    scene.fate("A", [Fate::Endless]);
    let open = scene.run(&json!({ "pipeline": "large", "input": {} })).await;
    scene.until(&open, |run| run["status"] == "running").await;
    let young = app.retain_runs(&local, Some(31 * DAY), true).await.unwrap();
    assert_eq!((young.runs.len(), young.objects, young.failed.len()), (0, vec![left], 0));
    let told = app.retain_runs(&local, Some(29 * DAY), false).await.unwrap();
    assert_eq!((told.runs.len(), objects().await.len()), (1, 2), "it was a dry run");
    let done = app.retain_runs(&local, Some(29 * DAY), true).await.unwrap();
    assert_eq!((done.runs[0].as_str(), done.runs.len(), objects().await.len()), (old.as_str(), 1, 0));
    assert_eq!(scene.harness.get(&format!("runs/{old}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(app.retain_runs(&local, Some(Duration::ZERO), true).await.unwrap().runs, [], "one that goes on is in use");
    scene.done("POST", &format!("runs/{open}/cancel"), &json!({})).await;
    scene.ended(&open).await;
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_over_its_time_is_ended_by_the_watchdog() {
    let clock = Clock::system();
    let scene = Scene::without(&["EveryMinute"], Options { clock: clock.clone(), ..Options::default() }, &[]).await;
    scene.publish(&chain()).await;
    scene.fate("B", [Fate::Endless]);
    let id = scene.run(&json!({ "pipeline": "chain", "input": { "topic": "t" }, "notify": { "webhook": true } })).await;
    scene.until(&id, |run| run["progress"]["current_step"] == "B").await;
    // 29 minutes are within the limit of 30; the watchdog changes nothing.
    clock.advance(Duration::from_mins(29));
    scene.harness.stack.invoke("sweep", json!({})).await.unwrap();
    assert_eq!(scene.get(&format!("runs/{id}")).await["status"], "running");
    clock.advance(Duration::from_mins(2));
    scene.harness.stack.invoke("sweep", json!({})).await.unwrap();
    let run = scene.ended(&id).await;
    assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("timeout")), "{run}");
    assert_eq!(scene.statuses(&id).await, "A=completed B=cancelled C=cancelled");
    // What ran has ended, and its place is free.
    let step = scene.get(&format!("runs/{id}/steps/B")).await;
    let generation = scene.get(&format!("generations/{}", step["generation"].as_str().unwrap())).await;
    assert!(["cancelled", "failed", "incomplete"].iter().any(|status| generation["status"] == *status), "{generation}");
    let next = scene.run(&json!({ "pipeline": "chain", "input": { "topic": "next" } })).await;
    assert_eq!(scene.ended(&next).await["status"], "completed");
    scene.harness.finish().await;
}
