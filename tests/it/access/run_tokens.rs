//! Read tokens of runs: one run, its steps, and the generations of their tries.

use reqwest::StatusCode;
use serde_json::json;

use crate::runs::{Fate, Scene, chain};

#[tokio::test(flavor = "multi_thread")]
async fn token_reads_one_run_its_steps_and_their_generations_only() {
    let scene = Scene::start().await;
    scene.publish(&chain()).await;
    scene.fate("B", [Fate::Breaks]);
    let body = json!({ "pipeline": "chain", "input": { "topic": "t" } });
    let id = scene.run(&body).await;
    let tokens = format!("runs/{id}/tokens");
    let token = scene.done("POST", &tokens, &json!({ "expires_in": 60 })).await;
    assert_eq!((&token["run"], token.get("generation"), token.get("batch")), (&json!(id), None, None));
    assert_eq!(scene.ended(&id).await["status"], "completed");
    // Behind the first, whose step it is that breaks off.
    let other = scene.run(&body).await;
    assert_eq!(scene.ended(&other).await["status"], "completed");
    let steps = async |run: &str| scene.get(&format!("runs/{run}/steps")).await["data"].take();
    let (own, foreign) = (steps(&id).await, steps(&other).await);
    let tries: Vec<&str> = own[1]["generations"].as_array().unwrap().iter().map(|try_| try_.as_str().unwrap()).collect();
    assert_eq!(tries.len(), 2, "{own}");
    let foreign = foreign[0]["generation"].as_str().unwrap();
    let alone = scene.harness.start_generation(json!({})).await;
    let reader = scene.harness.with_key(token["token"].as_str().unwrap());
    let response = tries[1].replace("gen_", "resp_");
    let mut expected = vec![
        (format!("runs/{id}"), StatusCode::OK),
        (format!("runs/{id}/steps"), StatusCode::OK),
        (format!("runs/{id}/steps/B"), StatusCode::OK),
        (format!("runs/{id}/steps/Z"), StatusCode::NOT_FOUND),
        (format!("runs/{id}/report"), StatusCode::OK),
        (format!("runs/{id}/events"), StatusCode::OK),
        (format!("responses/{response}"), StatusCode::OK),
        (format!("generations/{}/validation_issues", tries[1]), StatusCode::FORBIDDEN),
        (format!("runs/{other}"), StatusCode::FORBIDDEN),
        (format!("runs/{other}/steps/B"), StatusCode::FORBIDDEN),
        (format!("runs/{other}/events"), StatusCode::FORBIDDEN),
        ("runs/run_00000000000000000000000000".to_owned(), StatusCode::FORBIDDEN),
        (format!("generations/{foreign}"), StatusCode::FORBIDDEN),
        (format!("generations/{alone}"), StatusCode::FORBIDDEN),
        ("generations/gen_00000000000000000000000000".to_owned(), StatusCode::FORBIDDEN),
        ("runs".to_owned(), StatusCode::FORBIDDEN),
        ("generations".to_owned(), StatusCode::FORBIDDEN),
        ("pipelines/chain".to_owned(), StatusCode::FORBIDDEN),
    ];
    for generation in &tries {
        for rest in ["", "/progress", "/events"] {
            expected.push((format!("generations/{generation}{rest}"), StatusCode::OK));
        }
    }
    expected.push((format!("generations/{}/output", tries[1]), StatusCode::OK));
    for (path, expected) in expected {
        assert_eq!(reader.status("GET", &format!("/v1/{path}")).await, expected, "{path}");
    }
    // Where a browser's `EventSource` can send no header.
    let query = format!("/v1/runs/{id}/events?token={}", token["token"].as_str().unwrap());
    let followed = scene.harness.http.get(scene.harness.url_of(&query)).send().await.unwrap();
    assert_eq!(followed.status(), StatusCode::OK);
    for path in [format!("runs/{id}/cancel"), tokens.clone(), format!("runs/{id}/redrive"), "runs".to_owned()] {
        assert_eq!(reader.status("POST", &format!("/v1/{path}")).await, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(reader.status("DELETE", &format!("/v1/runs/{id}")).await, StatusCode::FORBIDDEN);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_a_redriven_run_reads_what_the_run_has_kept() {
    let scene = Scene::start().await;
    scene.publish(&chain()).await;
    scene.fate("B", [Fate::Refused]);
    let id = scene.run(&json!({ "pipeline": "chain", "input": { "topic": "t" } })).await;
    assert_eq!(scene.ended(&id).await["status"], "failed");
    let again = scene.done("POST", &format!("runs/{id}/redrive"), &json!({})).await;
    let again = again["id"].as_str().unwrap();
    assert_eq!(scene.ended(again).await["status"], "completed");
    let generation = async |run: &str, step: &str| {
        let step = scene.get(&format!("runs/{run}/steps/{step}")).await;
        step["generation"].as_str().unwrap().to_owned()
    };
    let (kept, failed) = (generation(again, "A").await, generation(&id, "B").await);
    assert_eq!(kept, generation(&id, "A").await);
    let token = scene.done("POST", &format!("runs/{again}/tokens"), &json!({})).await;
    let reader = scene.harness.with_key(token["token"].as_str().unwrap());
    for rest in ["", "/progress", "/output", "/events"] {
        assert_eq!(reader.status("GET", &format!("/v1/generations/{kept}{rest}")).await, StatusCode::OK, "{rest}");
    }
    assert_eq!(
        reader.status("GET", &format!("/v1/generations/{failed}")).await,
        StatusCode::FORBIDDEN,
        "a try that it has not kept"
    );
    assert_eq!(reader.status("GET", &format!("/v1/runs/{id}")).await, StatusCode::FORBIDDEN, "the earlier run");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_a_run_is_asked_for_as_told() {
    let scene = Scene::start().await;
    scene.publish(&chain()).await;
    let tokens = format!("runs/{}/tokens", scene.run(&json!({ "pipeline": "chain", "input": { "topic": "t" } })).await);
    for wrong in [json!({ "expires_in": 0 }), json!({ "also": 1 })] {
        assert_eq!(scene.ask("POST", &tokens, &[], Some(&wrong)).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let unknown = "runs/run_00000000000000000000000000/tokens";
    assert_eq!(scene.ask("POST", unknown, &[], Some(&json!({}))).await.0, StatusCode::NOT_FOUND);
    scene.harness.finish().await;
}
