//! How batches end: tries, bounds, cancels and repetitions.

use longhand_local::Options;
use reqwest::StatusCode;
use serde_json::json;

use super::{ENDLESS, FLAKY, REFUSED, Scene, counts};

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again() {
    let scene = Scene::start().await;
    let id = scene.batch(&["uno", FLAKY], json!({ "retries": 1 })).await;
    let ended = scene.ended(&id).await;
    assert_eq!(counts(&ended), json!({ "completed": 2 }));
    let items = scene.items(&id).await;
    assert_eq!((&items[0]["tries"], &items[1]["tries"]), (&json!(1), &json!(2)));
    assert_eq!(items[1]["error"], json!(null), "an item that completed has no error");
    let tries = scene.found(&format!("generations?batch={id}")).await;
    assert_eq!(tries["data"].as_array().unwrap().len(), 3);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_failed_items_end_the_batch() {
    let scene = Scene::start().await;
    let prompts: Vec<&str> = [ENDLESS, REFUSED, REFUSED].into_iter().chain(std::iter::repeat_n("uno", 20)).collect();
    let id = scene.batch(&prompts, json!({ "concurrency": 2, "max_failed": 1 })).await;
    let ended = scene.ended(&id).await;
    assert_eq!((&ended["status"], &ended["counts"]["failed"]), (&json!("failed"), &json!(2)));
    // An item may take the place of a failed one before the failure is counted.
    let [cancelled, completed] = ["cancelled", "completed"].map(|status| ended["counts"][status].as_u64().unwrap());
    assert!(cancelled >= 15 && cancelled + completed == 21, "{ended}");
    let items = scene.items(&id).await;
    let endless = scene.found(&format!("generations/{}", items[0]["generation"].as_str().unwrap())).await;
    assert_eq!(endless["status"], "cancelled");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_batch_starts_nothing_more() {
    let scene = Scene::start().await;
    let prompts: Vec<&str> = [ENDLESS; 3].into_iter().chain(std::iter::repeat_n("uno", 100)).collect();
    let id = scene.batch(&prompts, json!({ "concurrency": 3 })).await;
    scene.until(&id, |batch| batch["counts"]["running"] == 3).await;
    let cancelled = scene.done("POST", &format!("batches/{id}/cancel"), &json!({})).await;
    assert!(["cancelling", "cancelled"].contains(&cancelled["status"].as_str().unwrap()), "{cancelled}");
    let (status, _) = scene.ask("PATCH", &format!("batches/{id}"), &[], Some(&json!({ "concurrency": 9 }))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "it goes on no more");
    let ended = scene.ended(&id).await;
    assert_eq!((&ended["status"], counts(&ended)), (&json!("cancelled"), json!({ "cancelled": 103 })));
    let again = scene.done("POST", &format!("batches/{id}/cancel"), &json!({})).await;
    assert_eq!(again, ended, "a second cancel changes nothing");
    assert_eq!(scene.found(&format!("generations?batch={id}")).await["data"].as_array().unwrap().len(), 3);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_started_again_as_a_new_batch() {
    let scene = Scene::start().await;
    let items = json!([
        { "custom_id": "a", "subject": "s:1", "request": { "prompt": "uno" } },
        { "custom_id": "b", "subject": "s:2", "request": { "prompt": FLAKY, "stop": ["x"] } },
        // Too large for a row: its request is in the bucket.
        { "custom_id": "c", "request": { "messages": [{ "role": "user", "content": REFUSED }, { "role": "user", "content": longhand_tests::noise(20_000) }] } },
    ]);
    let body = json!({ "items": items, "defaults": { "provider": "test", "model": "m" }, "retries": 0, "name": "n", "metadata": { "k": "v" } });
    let id = scene.done("POST", "batches", &body).await["id"].as_str().unwrap().to_owned();
    assert_eq!(counts(&scene.ended(&id).await), json!({ "completed": 1, "failed": 2 }));
    let key = [("idempotency-key", "again")];
    let (status, retry) = scene.ask("POST", &format!("batches/{id}/retry"), &key, None).await;
    assert_eq!(
        (status, &retry["retry_of"], &retry["name"], &retry["metadata"]["k"]),
        (StatusCode::ACCEPTED, &json!(id), &json!("n"), &json!("v"))
    );
    let new = retry["id"].as_str().unwrap();
    let ended = scene.ended(new).await;
    assert_eq!(counts(&ended), json!({ "completed": 1, "failed": 1 }));
    let custom: Vec<_> = scene.items(new).await.iter().map(|item| item["custom_id"].clone()).collect();
    assert_eq!(custom, ["b", "c"]);
    assert_eq!(scene.found("subjects/s:2/versions/current").await["number"], 1);
    assert_eq!(scene.ask("POST", &format!("batches/{id}/retry"), &key, None).await.1["id"], retry["id"]);
    assert_eq!(
        counts(&scene.found(&format!("batches/{id}")).await),
        json!({ "completed": 1, "failed": 2 }),
        "the first one stays"
    );
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_is_never_exceeded_and_can_be_changed() {
    let scene = Scene::start().await;
    let prompts: Vec<&str> = std::iter::repeat_n(ENDLESS, 12).collect();
    let id = scene.batch(&prompts, json!({ "concurrency": 3 })).await;
    scene.until(&id, |batch| batch["counts"]["running"] == 3).await;
    let more = scene.done("PATCH", &format!("batches/{id}"), &json!({ "concurrency": 5 })).await;
    assert_eq!((&more["counts"]["running"], &more["concurrency"]), (&json!(5), &json!(5)));
    let fewer = scene.done("PATCH", &format!("batches/{id}"), &json!({ "concurrency": 1 })).await;
    assert_eq!(fewer["counts"]["running"], 5, "what runs goes on");
    let first = scene.items(&id).await[0]["generation"].as_str().unwrap().to_owned();
    scene.done("POST", &format!("generations/{first}/cancel"), &json!({})).await;
    let after = scene.until(&id, |batch| batch["counts"]["cancelled"] == 1).await;
    assert_eq!(counts(&after), json!({ "cancelled": 1, "running": 4, "pending": 7 }), "nothing takes its place");
    scene.done("POST", &format!("batches/{id}/cancel"), &json!({})).await;
    scene.ended(&id).await;
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_keeps_within_the_quotas_of_its_organization() {
    let env = [("LONGHAND_MAX_RUNNING", "2"), ("LONGHAND_MAX_GENERATIONS_PER_DAY", "5")];
    let scene = Scene::with(&[], Options::default(), &env).await;
    let body = json!({ "items": [{}], "defaults": { "provider": "test", "model": "m", "prompt": "uno" }, "concurrency": 3 });
    let (status, wrong) = scene.ask("POST", "batches", &[], Some(&body)).await;
    assert_eq!((status, &wrong["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/concurrency")));
    let id = scene.batch(&["uno"; 8], json!({ "concurrency": 2 })).await;
    let held = scene.until(&id, |batch| batch["counts"]["completed"] == 5).await;
    assert_eq!((&held["status"], counts(&held)), (&json!("running"), json!({ "completed": 5, "pending": 3 })));
    let (status, _) =
        scene.ask("POST", "generations", &[], Some(&json!({ "provider": "test", "model": "m", "prompt": "dos" }))).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "each item counts in the day");
    scene.done("POST", &format!("batches/{id}/cancel"), &json!({})).await;
    assert_eq!(counts(&scene.ended(&id).await), json!({ "completed": 5, "cancelled": 3 }));
    scene.harness.finish().await;
}
