//! How versions come about, and what they tell.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn completed_generations_become_versions_that_tell_where_they_came_from() {
    let scene = Scene::start().await;
    let request = json!({ "prompt": "año uno", "subject": "a@b.c:1", "change_reason": "asked", "temperature": 0.25 });
    let id = scene.harness.start_generation(request).await;
    let record = scene.harness.ended(&id).await;
    assert_eq!(record["subject"], "a@b.c:1");
    let first = scene.version("a@b.c:1", 1).await;
    assert_eq!(
        (&first["change_type"], &first["reason"], &first["generation"], &first["temperature"], &first["model"]),
        (&json!("initial_generation"), &json!("asked"), &json!(id), &json!(0.25), &json!("m"))
    );
    assert_eq!((&first["sha256"], &first["bytes"], &first["usage"]), (&record["sha256"], &record["bytes"], &record["usage"]));
    assert!(first["duration_ms"].is_u64() && first["prompt_sha256"].is_string(), "{first}");

    scene.generate("a@b.c:1", "año dos").await;
    let second = scene.version("a@b.c:1", 2).await;
    assert_eq!((&second["change_type"], &second["is_current"]), (&json!("automatic_regeneration"), &json!(true)));
    assert_ne!(second["prompt_sha256"], first["prompt_sha256"]);
    assert_eq!([scene.text("a@b.c:1", 1).await, scene.text("a@b.c:1", 2).await], ["año uno", "año dos"]);

    let listed = scene.found("generations?subject=a@b.c:1").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    let other = scene.found("generations?subject=other").await;
    assert_eq!(other["data"], json!([]));
    // The provider repeats what it is asked, so the size of the earlier versions is what is expected of the third.
    assert_eq!(scene.generate("a@b.c:1", "año 333").await["progress"]["expected_total_bytes"], 8);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_and_incomplete_generations_make_no_version() {
    let scene = Scene::start().await;
    let failing =
        json!({ "prompt": "no JSON", "subject": "s", "response_format": { "type": "json_object" }, "validation": "strict" });
    let id = scene.harness.start_generation(failing).await;
    assert_eq!(scene.harness.ended(&id).await["status"], "failed");
    let answer = scene.harness.stack.invoke("settle", Scene::ended_event(&id)).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    let subject = scene.found("subjects/s").await;
    assert_eq!((&subject["current"], &subject["last_generation"]), (&Value::Null, &json!(id)));
    assert_eq!(scene.ask("GET", "subjects/s/versions/current", None, None).await.0, StatusCode::NOT_FOUND);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_made_from_the_version_that_it_names_or_from_any() {
    let scene = Scene::start().await;
    scene.generate("s", "uno").await;
    scene.version("s", 1).await;
    let edit = |text: &str| json!({ "text": text, "reason": "typo" });
    let (status, edited) = scene.ask("POST", "subjects/s/versions", Some(1), Some(&edit("dos"))).await;
    assert_eq!((status, &edited["number"], &edited["change_type"]), (StatusCode::CREATED, &json!(2), &json!("manual_edit")));
    let (status, problem) = scene.ask("POST", "subjects/s/versions", Some(1), Some(&edit("lost"))).await;
    assert_eq!((status, &problem["code"]), (StatusCode::PRECONDITION_FAILED, &json!("version_changed")));
    assert!(problem["detail"].as_str().unwrap().contains("is 2,"), "{problem}");
    let (status, restored) = scene.ask("POST", "subjects/s/versions/1/restore", Some(1), Some(&json!({}))).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{restored}");
    for text in ["tres", "cuatro"] {
        scene.done("POST", "subjects/s/versions", &edit(text)).await;
    }
    let restored = scene.done("POST", "subjects/s/versions/1/restore", &json!({ "reason": "it was better" })).await;
    assert_eq!((&restored["number"], &restored["restored_from"]), (&json!(5), &json!(1)));
    assert_eq!((&restored["change_type"], &restored["cost"]), (&json!("restoration"), &Value::Null));
    let texts: Vec<String> = futures::future::join_all((1..=5).map(|number| scene.text("s", number))).await;
    assert_eq!(texts, ["uno", "dos", "tres", "cuatro", "uno"]);
    assert_eq!(scene.all("s").await.len(), 5);
    let (status, _) = scene.ask("POST", "subjects/s/versions/9/restore", None, Some(&json!({}))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_described_labelled_and_found() {
    let scene = Scene::start().await;
    for name in ["city:1", "city:2", "town:1"] {
        let labels = if name == "city:2" { json!(["travel"]) } else { json!([]) };
        scene
            .done("PUT", &format!("subjects/{name}"), &json!({ "title": "Año", "attributes": { "n": 1.5 }, "labels": labels }))
            .await;
    }
    let names = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|subject| subject["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&scene.found("subjects?prefix=city").await), ["city:1", "city:2"]);
    assert_eq!(names(&scene.found("subjects?label=travel").await), ["city:2"]);
    scene.done("PUT", "subjects/town:2", &json!({ "labels": ["travel"] })).await;
    let page = scene.found("subjects?label=travel&limit=1").await;
    assert_eq!((names(&page), &page["has_more"], &page["last_id"]), (vec!["city:2".into()], &json!(true), &json!("city:2")));
    assert_eq!(names(&scene.found("subjects?label=travel&after=city:2").await), ["town:2"]);
    let page = scene.found("subjects?limit=1&after=city:1").await;
    assert_eq!((names(&page), &page["has_more"], &page["last_id"]), (vec!["city:2".into()], &json!(true), &json!("city:2")));
    assert_eq!(scene.found("subjects/city:1").await["attributes"], json!({ "n": 1.5 }));

    for text in ["uno", "dos"] {
        scene.done("POST", "subjects/city:1/versions", &json!({ "text": text })).await;
    }
    scene.done("PUT", "subjects/city:1/versions/1/labels", &json!({ "labels": ["published"] })).await;
    let moved = scene.done("PUT", "subjects/city:1/versions/current/labels", &json!({ "labels": ["published"] })).await;
    assert_eq!((&moved["number"], &moved["labels"]), (&json!(2), &json!(["published"])));
    assert_eq!(scene.found("subjects/city:1").await["version_labels"], json!({ "published": 2 }));
    let (status, problem) = scene.ask("PUT", "subjects/x", None, Some(&json!({ "title": 7, "colour": 1 }))).await;
    assert_eq!((status, problem["errors"].as_array().unwrap().len()), (StatusCode::BAD_REQUEST, 2), "{problem}");
    assert_eq!(scene.ask("GET", "subjects/a%20b", None, None).await.0, StatusCode::NOT_FOUND);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_request_is_started_again_with_a_reason() {
    let scene = Scene::start().await;
    scene.generate("s", "uno").await;
    let last = scene.generate("s", "dos").await;
    scene.version("s", 2).await;
    let again = scene.done("POST", "subjects/s/regenerate", &json!({ "reason": "newer" })).await;
    scene.harness.ended(again["id"].as_str().unwrap()).await;
    let third = scene.version("s", 3).await;
    assert_eq!((&third["reason"], scene.text("s", 3).await.as_str()), (&json!("newer"), "dos"));
    // Of the newest that is left, where the last ones are purged.
    for id in [&last["id"], &again["id"]] {
        let id = id.as_str().unwrap();
        assert_eq!(scene.ask("DELETE", &format!("generations/{id}"), None, None).await.0, StatusCode::OK);
    }
    scene.done("POST", "subjects/s/regenerate", &json!({})).await;
    scene.version("s", 4).await;
    assert_eq!(scene.text("s", 4).await, "uno");
    assert_eq!(scene.text("s", 2).await, "dos", "a purged generation leaves its version");
    assert_eq!(scene.ask("POST", "subjects/none/regenerate", None, Some(&json!({}))).await.0, StatusCode::NOT_FOUND);
    scene.harness.finish().await;
}
