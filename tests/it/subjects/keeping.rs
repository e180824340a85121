//! What is kept of a subject, for how long, and what is left when it is deleted.

use std::time::Duration;

use longhand::subjects::retention::VersionRules;
use longhand::{Clock, Error, SubjectKey};
use longhand_local::Options;
use reqwest::StatusCode;
use serde_json::json;

use super::Scene;

/// The bucket's objects of subjects.
async fn objects(scene: &Scene) -> usize {
    let (clients, bucket) = (scene.harness.clients().await, scene.harness.config("api").bucket);
    let listed = clients.s3.list_objects_v2().bucket(bucket).prefix("local/subjects/").send().await.unwrap();
    listed.contents().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_subject_leaves_nothing_and_a_purged_generation_leaves_its_version() {
    let scene = Scene::start().await;
    let id = scene.generate("s", &"largo ".repeat(2_000)).await["id"].as_str().unwrap().to_owned();
    scene.version("s", 1).await;
    scene.done("POST", "subjects/s/versions", &json!({ "text": "corto" })).await;
    assert_eq!(scene.ask("DELETE", &format!("generations/{id}"), None, None).await.0, StatusCode::OK);
    assert_eq!((scene.text("s", 1).await.len(), objects(&scene).await), (12_000, 2));
    assert_eq!(scene.ask("DELETE", "subjects/s", None, None).await.0, StatusCode::OK);
    for path in
        ["subjects/s", "subjects/s/versions", "subjects/s/versions/1", "subjects/s/versions/1/output", "subjects/s/export"]
    {
        assert_eq!(scene.ask("GET", path, None, None).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(scene.found("subjects").await["data"], json!([]));
    assert_eq!(objects(&scene).await, 0);
    let (clients, config) = (scene.harness.clients().await, scene.harness.config("api"));
    let key = SubjectKey::new("local".parse().unwrap(), "s".parse().unwrap());
    let rows = clients.dynamodb.query().table_name(config.records_table).key_condition_expression("pk = :pk");
    let pk = aws_sdk_dynamodb::types::AttributeValue::S(key.partition());
    assert_eq!(rows.expression_attribute_values(":pk", pk).send().await.unwrap().count(), 0);
    assert_eq!(scene.ask("DELETE", "subjects/s", None, None).await.0, StatusCode::NOT_FOUND);
    // It may appear again, from the beginning.
    scene.done("POST", "subjects/s/versions", &json!({ "text": "otra vez" })).await;
    assert_eq!(scene.all("s").await.len(), 1);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_go_but_for_those_that_are_needed_and_texts_go_with_the_last_that_has_them() {
    let clock = Clock::manual();
    let scene = Scene::with(&["EveryMinute"], Options { clock: clock.clone(), ..Options::default() }).await;
    // The third and the sixth have the same text.
    for text in ["a", "b", "c", "d", "e", "c", "g"] {
        scene.done("POST", "subjects/s/versions", &json!({ "text": text })).await;
    }
    scene.done("PUT", "subjects/s/versions/4/labels", &json!({ "labels": ["accepted"] })).await;
    let app = scene.harness.app(scene.harness.config("api"), clock.clone()).await;
    let organization = "local".parse().unwrap();
    let rules = VersionRules { keep_last: 2, ..VersionRules::default() };
    let young = app.retain_versions(&organization, rules, true).await.unwrap();
    assert!(young.versions.is_empty() && young.failed.is_empty(), "{young:?}");
    clock.advance(Duration::from_hours(91 * 24));
    let numbers = |found: &longhand::VersionRetention| -> Vec<u64> { found.versions.iter().map(|(_, number)| *number).collect() };
    let told = app.retain_versions(&organization, rules, false).await.unwrap();
    assert_eq!(numbers(&told), [2, 3, 5], "1 is the first, 4 has a label, 6 and 7 are the last");
    assert_eq!(scene.all("s").await.len(), 7, "it was a dry run");
    let done = app.retain_versions(&organization, rules, true).await.unwrap();
    assert_eq!((numbers(&done), done.objects.len()), (vec![2, 3, 5], 2), "the text of 3 is also that of 6");
    assert_eq!((objects(&scene).await, scene.text("s", 6).await.as_str()), (4, "c"));
    let key = SubjectKey::new(organization.clone(), "s".parse().unwrap());
    assert!(matches!(app.version(&key, Some(3)).await, Err(Error::VersionNotFound(..))));
    let restored = scene.done("POST", "subjects/s/versions/1/restore", &json!({})).await;
    assert_eq!(restored["number"], 8, "numbers are not used again");
    let next = app.retain_versions(&organization, rules, true).await.unwrap();
    assert_eq!(numbers(&next), [6], "it is no longer among the last two");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_that_nobody_has_settled_are_settled_afterwards() {
    let clock = Clock::system();
    let scene = Scene::with(&["Outcome"], Options { clock: clock.clone(), ..Options::default() }).await;
    let since = clock.now_ms();
    for text in ["uno", "dos"] {
        scene.generate("s", text).await;
    }
    let app = scene.harness.app(scene.harness.config("api"), clock).await;
    assert_eq!(app.catch_up_settling(since, false).await.unwrap(), 2);
    assert_eq!(scene.found("subjects/s").await["current"], json!(null), "it was a dry run");
    assert_eq!(app.catch_up_settling(since, true).await.unwrap(), 2);
    assert_eq!(scene.all("s").await.len(), 2);
    assert_eq!(app.catch_up_settling(since, true).await.unwrap(), 0);
    scene.harness.finish().await;
}

/// What `longhand cost --subject` counts: in a transaction, two units each for the subject, the version, and the note of its origin. A
/// delivery again writes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_costs_the_units_of_one_transaction() {
    let clock = Clock::system();
    let scene = Scene::with(&["Outcome"], Options { clock: clock.clone(), ..Options::default() }).await;
    let app = scene.harness.app(scene.harness.config("api"), clock).await;
    for text in ["uno", "dos"] {
        let id = scene.generate("s", text).await["id"].as_str().unwrap().to_owned();
        let key = longhand_tests::key_of(&id);
        let before = app.meter().reading();
        app.settle(&key).await.unwrap();
        let after = app.meter().reading();
        assert_eq!((after.writes - before.writes, after.write_units - before.write_units), (1, 6), "{text}");
        assert!(after.read_units - before.read_units <= 3.0, "{before:?} {after:?}");
        app.settle(&key).await.unwrap();
        assert_eq!(app.meter().reading().writes, after.writes);
    }
    scene.harness.finish().await;
}
