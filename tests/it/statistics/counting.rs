//! What is counted of generations, and by what it is divided.

use longhand::Scope;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Scene, counted, generate, is_near, usage};
use crate::access::keys::key;

/// Milliseconds between two moments of a record.
fn millis(record: &Value, from: &str, to: &str) -> u64 {
    let at = |pointer: &str| record.pointer(pointer).unwrap().as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    u64::try_from(at(to).as_millisecond() - at(from).as_millisecond()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_of_two_models_and_two_organizations_are_counted_apart() {
    let scene = Scene::without(&[]).await;
    let (_, globex) = key(&scene.harness, "globex", &Scope::ALL, None).await;
    let globex = scene.harness.with_key(globex.reveal());
    let strict =
        json!({ "model": "m", "prompt": "no JSON", "response_format": { "type": "json_object" }, "validation": "strict" });
    let mut records = Vec::new();
    for request in [
        json!({ "model": "m", "prompt": "uno", "subject": "s" }),
        json!({ "model": "m", "prompt": "dos, y más" }),
        json!({ "model": "n/2", "prompt": "tres" }),
        json!({ "model": "free", "prompt": "cuatro" }),
        strict,
    ] {
        records.push(generate(&scene.acme, request).await);
    }
    generate(&globex, json!({ "model": "m", "prompt": "cinco" })).await;

    let told = counted(&scene.acme, 5, "?by=model,provider").await;
    assert_eq!((&told["by"], &told["object"]), (&json!(["provider", "model"]), &json!("usage")));
    let of = |model: &str| told["data"].as_array().unwrap().iter().find(|group| group["model"] == model).unwrap().clone();
    let sum = |records: &[&Value], pointer: &str| -> u64 {
        records.iter().map(|record| record.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)).sum()
    };
    for (model, of_model) in [("m", vec![0, 1, 4]), ("n/2", vec![2]), ("free", vec![3])] {
        let of_model: Vec<&Value> = of_model.into_iter().map(|at| &records[at]).collect();
        let group = of(model);
        let with = |status: &str| of_model.iter().filter(|record| record["status"] == status).count();
        assert_eq!(
            group["generations"],
            json!({ "total": of_model.len(), "completed": with("completed"), "incomplete": 0, "failed": with("failed"), "cancelled": 0 })
        );
        assert_eq!(group["usage"]["input_tokens"], sum(&of_model, "/usage/input_tokens"), "{group}");
        assert_eq!(group["usage"]["output_tokens"], sum(&of_model, "/usage/output_tokens"), "{group}");
        assert_eq!((&group["cost"], &group["provider"]), (&json!(sum(&of_model, "/cost")), &json!("test")));
        assert_eq!(group["first_text_ms"]["count"], of_model.len());
    }
    assert!(of("m")["cost"].as_u64().unwrap() > 0 && of("free")["without_cost"] == 1, "{told}");
    assert_eq!(of("m")["success_rate"].as_f64(), Some(2.0 / 3.0));
    // Of one generation, the median and the 95 % are its own.
    let [duration, first_text] = ["/completed_at", "/progress/first_chunk_at"].map(|to| millis(&records[2], "/created_at", to));
    for figure in ["median", "p95"] {
        assert!(is_near(&of("n/2")["duration_ms"][figure], duration), "{duration} ms: {}", of("n/2"));
        assert!(is_near(&of("n/2")["first_text_ms"][figure], first_text), "{first_text} ms: {}", of("n/2"));
    }
    assert_eq!(
        (&told["total"]["generations"]["total"], &told["total"]["cost"]),
        (&json!(5), &json!(sum(&records.iter().collect::<Vec<_>>(), "/cost")))
    );
    let theirs = counted(&globex, 1, "?by=model").await;
    assert_eq!((theirs["total"]["generations"]["total"].clone(), theirs["data"].as_array().unwrap().len()), (json!(1), 1));

    // A purge takes nothing away.
    let purged = scene.acme.http.delete(scene.acme.url_of(&format!("/v1/generations/{}", records[0]["id"].as_str().unwrap())));
    assert_eq!(scene.acme.send(purged.build().unwrap()).await.0, StatusCode::OK);
    let by_day = usage(&scene.acme, "").await;
    assert_eq!((&by_day["by"], &by_day["total"]), (&json!(["day"]), &told["total"]));
    let day = &records[0]["completed_at"].as_str().unwrap()[..10];
    assert_eq!(by_day["data"][0]["day"], day);
    let before = usage(&scene.acme, "?from=2020-01-01&to=2020-12-31&by=day,model").await;
    assert_eq!((&before["data"], &before["total"]["success_rate"]), (&json!([]), &Value::Null));
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_end_is_counted() {
    let scene = Scene::without(&[]).await;
    let started = async |prompt: &str| scene.acme.start_generation(json!({ "model": "m", "prompt": prompt })).await;
    let cancelled = started("stall").await;
    assert_eq!(scene.acme.cancel(&cancelled).await.0, StatusCode::OK);
    let ended = [(cancelled, "cancelled"), (started("cut short").await, "incomplete"), (started("refuse").await, "failed")];
    for (id, status) in &ended {
        assert_eq!(scene.acme.ended(id).await["status"], *status);
    }
    let told = counted(&scene.acme, 3, "?by=provider").await["data"][0].clone();
    assert_eq!(told["generations"], json!({ "total": 3, "completed": 0, "incomplete": 1, "failed": 1, "cancelled": 1 }));
    assert_eq!((&told["success_rate"], &told["duration_ms"]), (&json!(0.0), &json!({ "count": 0, "median": null, "p95": null })));
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_named() {
    let scene = Scene::without(&[]).await;
    for (query, wrong) in [
        ("?from=yesterday", vec!["from"]),
        ("?from=2026-11-22&to=2026-11-21", vec!["from"]),
        ("?from=2025-01-01&to=2026-11-21", vec!["from"]),
        ("?to=2026-11-31&by=hour", vec!["to", "by"]),
        ("?by=", vec!["by"]),
        ("?group_by=day", vec!["group_by"]),
    ] {
        let (status, problem) = scene.acme.get(&format!("usage{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {problem}");
        let named: Vec<&str> =
            problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(named, wrong, "{query}: {problem}");
    }
    scene.harness.finish().await;
}
