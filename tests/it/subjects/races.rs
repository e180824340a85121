//! Changes of one subject at once: each becomes a version, with a number of its own and no number left out.

use futures::future::{join, join_all};
use reqwest::StatusCode;
use serde_json::json;

use super::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_again_makes_no_second_version_and_writes_nothing() {
    let scene = Scene::with(&["Outcome"], longhand_local::Options::default()).await;
    let id = scene.generate("s", "uno").await["id"].as_str().unwrap().to_owned();
    let settle = || scene.harness.stack.invoke("settle", Scene::ended_event(&id));
    for answer in join_all((0..4).map(|_| settle())).await {
        assert_eq!(answer.unwrap(), json!({ "batchItemFailures": [] }));
    }
    let before = (scene.found("subjects/s").await, scene.all("s").await);
    assert_eq!(before.1.len(), 1);
    settle().await.unwrap();
    assert_eq!((scene.found("subjects/s").await, scene.all("s").await), before);
    // Nor is there one of a generation that was purged before.
    let id = scene.generate("s", "dos").await["id"].as_str().unwrap().to_owned();
    assert_eq!(scene.ask("DELETE", &format!("generations/{id}"), None, None).await.0, StatusCode::OK);
    assert_eq!(scene.harness.stack.invoke("settle", Scene::ended_event(&id)).await.unwrap(), json!({ "batchItemFailures": [] }));
    assert_eq!(scene.all("s").await.len(), 1);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_edits_and_ends_at_once_have_numbers_without_gaps() {
    let scene = Scene::start().await;
    scene.generate("s", "uno").await;
    scene.version("s", 1).await;
    let (edit, reason) = (json!({ "text": "by hand" }), json!({ "reason": "at once" }));
    let (restores, edits, ends) = (
        join_all((0..2).map(|_| scene.done("POST", "subjects/s/versions/1/restore", &reason))),
        join_all((0..3).map(|_| scene.done("POST", "subjects/s/versions", &edit))),
        join_all((0..3).map(|number| {
            let text = format!("generated {number}");
            let scene = &scene;
            async move { scene.generate("s", &text).await }
        })),
    );
    let ((restored, edited), ended) = join(join(restores, edits), ends).await;
    assert_eq!((restored.len(), edited.len(), ended.len()), (2, 3, 3));
    scene.version("s", 9).await;
    let versions = scene.all("s").await;
    assert_eq!(versions.len(), 9);
    let of = |kind: &str| versions.iter().filter(|version| version["change_type"] == kind).count();
    assert_eq!((of("restoration"), of("manual_edit"), of("automatic_regeneration")), (2, 3, 3));
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_edits_of_one_version_at_once_one_is_made() {
    let scene = Scene::start().await;
    scene.done("POST", "subjects/s/versions", &json!({ "text": "uno" })).await;
    let bodies: Vec<_> = (0..4).map(|number| json!({ "text": format!("edit {number}") })).collect();
    let answers = join_all(bodies.iter().map(|body| scene.ask("POST", "subjects/s/versions", Some(1), Some(body)))).await;
    let made = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).count();
    let refused = answers.iter().filter(|(_, answer)| answer["code"] == "version_changed").count();
    assert_eq!((made, refused), (1, 3), "{answers:?}");
    assert_eq!(scene.all("s").await.len(), 2);
    scene.harness.finish().await;
}
