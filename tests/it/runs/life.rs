//! A run from its start to its end, and what it is asked meanwhile.

use longhand_tests::PATIENCE;
use reqwest::StatusCode;
use serde_json::json;
use std::time::Instant;
use tokio::time::sleep;

use super::{Fate, PAUSE, Scene, chain};

#[tokio::test(flavor = "multi_thread")]
async fn run_makes_its_result_from_step_to_step() {
    let scene = Scene::start().await;
    scene.publish(&chain()).await;
    let id = scene.run(&json!({ "pipeline": "chain", "input": { "topic": "t.1" }, "metadata": { "case": 7 } })).await;
    let run = scene.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(run["result"], json!({ "last": { "step": "C", "n": 0.78 }, "number": 0.78 }));
    assert_eq!(run["checks"], json!([{ "message": "the number is positive", "ok": true }]));
    assert_eq!((&run["progress"]["percentage"], &run["progress"]["completed_steps"]), (&json!(100.0), &json!(3)));
    assert_eq!((&run["metadata"], &run["pipeline"]["version"]), (&json!({ "case": 7 }), &json!(1)));
    assert_eq!(run["token_usage"]["by_step"].as_object().unwrap().len(), 3);
    assert_eq!(scene.asked(), ["A", "B", "C"]);
    assert_eq!(scene.prompts("A"), ["A: t.1"]);
    assert_eq!(scene.prompts("B"), [r#"B: {"step":"A","n":0.78}"#]);
    assert_eq!(scene.prompts("C"), ["C: B 0.78"]);
    assert_eq!(scene.statuses(&id).await, "A=completed B=completed C=completed");
    let report = scene.get(&format!("runs/{id}/report")).await;
    assert_eq!((&report["is_coherent"], &report["run"]["result"]), (&json!(true), &run["result"]));
    let types: Vec<&str> = report["log"].as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "created",
            "started",
            "phase_started",
            "step_started",
            "step_completed",
            "step_started",
            "step_completed",
            "phase_started",
            "step_started",
            "phase_completed",
            "step_completed",
            "phase_completed",
            "completed"
        ]
    );
    let step = scene.get(&format!("runs/{id}/steps/B")).await;
    let generation = step["generation"].as_str().unwrap();
    assert_eq!(scene.get(&format!("generations/{generation}")).await["status"], "completed");
    // The result is the next version of its subject.
    let began = Instant::now();
    let version = loop {
        let (status, version) = scene.harness.get("subjects/plan:t.1/versions/1").await;
        if status == StatusCode::OK {
            break version;
        }
        assert!(began.elapsed() < PATIENCE, "{status} {version}");
        sleep(PAUSE).await;
    };
    assert_eq!(version["run"], id);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_is_tried_again_alone_and_is_told_why() {
    let scene = Scene::start().await;
    scene.publish(&chain()).await;
    scene.fate("A", [Fate::Breaks]);
    scene.fate("B", [Fate::IsNoJson, Fate::Breaks]);
    let id = scene.run(&json!({ "pipeline": "chain", "input": { "topic": "t" } })).await;
    let run = scene.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(scene.asked(), ["A", "A", "B", "B", "B", "C"]);
    let told = &scene.prompts("B")[1];
    assert!(told.starts_with("Your previous answer was not accepted:\n- ") && told.contains("I would rather not."), "{told}");
    let step = scene.get(&format!("runs/{id}/steps/B")).await;
    assert_eq!((step["generations"].as_array().unwrap().len(), &step["tries"], &step["tries_max"]), (3, &json!(3), &json!(3)));
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_run_is_redriven_from_what_failed() {
    let scene = Scene::start().await;
    scene.publish(&chain()).await;
    scene.fate("B", [Fate::Refused]);
    let id = scene.run(&json!({ "pipeline": "chain", "input": { "topic": "t" } })).await;
    let run = scene.ended(&id).await;
    assert_eq!((&run["status"], &run["reason"], &run["error"]["step"]), (&json!("failed"), &json!("step_failed"), &json!("B")));
    assert_eq!(scene.statuses(&id).await, "A=completed B=failed C=cancelled");
    assert_eq!(run["result"], json!(null));
    let again = scene.done("POST", &format!("runs/{id}/redrive"), &json!({})).await;
    assert_eq!(again["redrive_of"], id);
    let again = scene.ended(again["id"].as_str().unwrap()).await;
    assert_eq!((&again["status"], &again["result"]["last"]["step"]), (&json!("completed"), &json!("C")), "{again}");
    assert_eq!(scene.asked(), ["A", "B", "B", "C"], "A is not paid twice");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_is_refused_with_every_error() {
    let scene = Scene::start().await;
    scene.publish(&chain()).await;
    let body = json!({ "pipeline": "chain", "input": { "topic": "", "peso": "0" } });
    let (status, problem) = scene.ask("POST", "runs", &[], Some(&body)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("validation_error")), "{problem}");
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "{problem}");
    assert_eq!((&errors[0]["path"], &errors[0]["pointer"]), (&json!("peso"), &json!("/input/peso")));
    assert_eq!(errors[0]["expected"], "a positive number, as text: \"78\"");
    assert_eq!(scene.get("runs").await["data"], json!([]), "nothing is stored");
    let mut stored = body.clone();
    stored["store_invalid"] = true.into();
    let id = scene.run(&stored).await;
    let run = scene.get(&format!("runs/{id}")).await;
    assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("validation_error")), "{run}");
    for (body, status, told) in [
        (json!({ "pipeline": "none" }), 404, "there is no pipeline \"none\""),
        (json!({ "pipeline": "chain@2" }), 404, "there is no pipeline \"chain@2\""),
        (json!({ "pipeline": "chain", "input_from": { "topic": { "subject": "nobody" } } }), 400, "/input_from/topic"),
    ] {
        let (found, problem) = scene.ask("POST", "runs", &[], Some(&body)).await;
        assert_eq!(found.as_u16(), status, "{problem}");
        assert!(problem.to_string().contains(&told.replace('"', "\\\"")), "{problem}");
    }
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_wait_for_places_in_order() {
    let scene = Scene::start().await;
    scene.publish(&chain()).await;
    let mut ids = Vec::new();
    for topic in ["endless", "endless", "third", "fourth"] {
        if topic == "endless" {
            scene.plan.lock().unwrap().fates.entry("A".into()).or_default().push(Fate::Endless);
        }
        ids.push(scene.run(&json!({ "pipeline": "chain", "input": { "topic": topic } })).await);
    }
    let status = |id: &str| {
        let path = format!("runs/{id}");
        let scene = &scene;
        async move { scene.get(&path).await["status"].as_str().unwrap().to_owned() }
    };
    assert_eq!((status(&ids[2]).await, status(&ids[3]).await), ("pending".to_owned(), "pending".to_owned()));
    // One that waits is cancelled at once, and leaves its place in the order.
    let cancelled = scene.done("POST", &format!("runs/{}/cancel", ids[2]), &json!({})).await;
    assert_eq!(cancelled["status"], "cancelled");
    scene.done("POST", &format!("runs/{}/cancel", ids[0]), &json!({})).await;
    assert_eq!(scene.ended(&ids[0]).await["status"], "cancelled");
    assert_eq!(scene.ended(&ids[3]).await["status"], "completed");
    assert_eq!(status(&ids[1]).await, "running");
    scene.done("POST", &format!("runs/{}/cancel", ids[1]), &json!({})).await;
    assert_eq!(scene.ended(&ids[1]).await["status"], "cancelled");
    scene.harness.finish().await;
}
