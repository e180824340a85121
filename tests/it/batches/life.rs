//! How a batch is started, read, listed and deleted.

use longhand::batches::ItemStatus;
use longhand::{BatchKey, Scope};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{REFUSED, Scene, counts};
use crate::access::keys::key;

#[tokio::test(flavor = "multi_thread")]
async fn items_are_generated_and_tell_how_they_ended() {
    let scene = Scene::start().await;
    let items = json!([
        { "custom_id": "uno", "subject": "evento:1", "change_reason": "asked", "request": { "prompt": "año uno" } },
        { "custom_id": "dos", "request": { "prompt": REFUSED } },
        { "subject": "evento:3", "request": { "prompt": "tres", "temperature": 1 } },
    ]);
    let body = json!({ "name": "Informe", "items": items, "defaults": { "provider": "test", "model": "m", "temperature": 0.5 }, "metadata": { "n": 1 } });
    let (status, batch) = scene.ask("POST", "batches", &[], Some(&body)).await;
    assert_eq!((status, &batch["status"], &batch["concurrency"]), (StatusCode::ACCEPTED, &json!("running"), &json!(8)));
    let id = batch["id"].as_str().unwrap();
    let ended = scene.ended(id).await;
    assert_eq!((&ended["status"], counts(&ended)), (&json!("completed"), json!({ "completed": 2, "failed": 1 })));
    assert_eq!((&ended["name"], &ended["percent"], &ended["metadata"]), (&json!("Informe"), &json!(100), &json!({ "n": 1 })));
    assert!(ended["started_at"].is_string() && ended["created_by"].is_string(), "{ended}");

    let items = scene.items(id).await;
    let told = |name: &str| items.iter().map(|item| item[name].clone()).collect::<Vec<_>>();
    assert_eq!(told("custom_id"), [json!("uno"), json!("dos"), Value::Null]);
    assert_eq!(told("status"), ["completed", "failed", "completed"]);
    assert_eq!(told("tries"), [1, 1, 1], "a request that was refused is not sent again");
    assert_eq!(items[1]["error"]["code"], "provider_rejected");
    let first = scene.found(&format!("generations/{}", items[0]["generation"].as_str().unwrap())).await;
    assert_eq!((&first["batch"], &first["subject"]), (&json!(id), &json!("evento:1")));
    assert_eq!(scene.found(&format!("generations?batch={id}")).await["data"].as_array().unwrap().len(), 3);
    assert_eq!(scene.found("generations?batch=bat_00000000000000000000000000").await["data"], json!([]));
    // Who hears of the end finds the versions.
    let version = scene.found("subjects/evento:1/versions/current").await;
    assert_eq!((&version["generation"], &version["reason"]), (&items[0]["generation"], &json!("asked")));
    assert!(version["created_by"].is_string(), "{version}");

    let failed = scene.found(&format!("batches/{id}/items?status=failed")).await;
    assert_eq!((&failed["data"][0]["index"], &failed["last_index"], &failed["has_more"]), (&json!(1), &json!(1), &json!(false)));
    let page = scene.found(&format!("batches/{id}/items?limit=2")).await;
    assert_eq!((&page["last_index"], &page["has_more"]), (&json!(1), &json!(true)));
    let rest = scene.found(&format!("batches/{id}/items?limit=2&after=1")).await;
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["has_more"]), (1, &json!(false)));
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_and_report_are_read_at_any_time() {
    let scene = Scene::start().await;
    // Longer than a row of the table takes.
    let long = "á".repeat(20_000);
    // JSON on several lines, and with a line feed in a string.
    let written = "{\n  \"a\": 1.0,\r\n  \"b\": \"x\\ny\"\n}";
    let id = scene.batch(&["uno", REFUSED, &long, written], json!({ "name": "Año | uno" })).await;
    scene.ended(&id).await;
    let lines = scene.raw(&format!("batches/{id}/results")).await;
    assert_eq!(lines.headers()["content-type"], "application/x-ndjson");
    let lines: Vec<Value> = lines.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts: Vec<&Value> = lines.iter().map(|line| &line["output"]["text"]).collect();
    assert_eq!(texts, [&json!("uno"), &Value::Null, &json!(long), &json!(written)]);
    assert_eq!(lines[3]["output"]["llm_response"], json!({ "a": 1.0, "b": "x\ny" }));
    let some = scene.raw(&format!("batches/{id}/results?after=0&limit=1")).await.text().await.unwrap();
    assert!(some.lines().count() == 1 && some.contains("\"index\":1,"), "{some}");

    let report = scene.raw(&format!("batches/{id}/report")).await.text().await.unwrap();
    assert!(report.starts_with("# Año \\| uno\n\nStatus: completed. Items: 4, of them 3 completed, 1 failed."), "{report}");
    let table = scene.raw(&format!("batches/{id}/report?format=csv")).await;
    assert_eq!(table.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(table.text().await.unwrap().lines().count(), 5);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_missing_skips_what_has_a_version() {
    let scene = Scene::start().await;
    let item =
        |subject: &str| json!({ "subject": subject, "request": { "provider": "test", "model": "m", "prompt": "texto nuevo" } });
    let first = scene.done("POST", "batches", &json!({ "items": [item("a")], "wait": 60 })).await;
    assert_eq!((&first["status"], counts(&first)), (&json!("completed"), json!({ "completed": 1 })), "the answer waits");
    let many: Vec<Value> = ["a", "b", "a"].map(item).to_vec();
    let body = json!({ "items": many, "only_missing": true, "wait": 60 });
    let second = scene.done("POST", "batches", &body).await;
    assert_eq!((&second["status"], counts(&second)), (&json!("completed"), json!({ "completed": 1, "skipped": 2 })));
    let all = json!({ "items": [item("a"), item("b")], "only_missing": true });
    let (status, none) = scene.ask("POST", "batches", &[], Some(&all)).await;
    assert_eq!((status, &none["status"], counts(&none)), (StatusCode::OK, &json!("completed"), json!({ "skipped": 2 })));
    assert!(none["ended_at"].is_string() && none["started_at"].is_null(), "{none}");
    // Another organization's subjects of the same name are none of one's own.
    let (_, other) = key(&scene.harness, "globex", &[Scope::Start], None).await;
    let other = scene.harness.with_key(other.reveal());
    let post = other.http.post(other.url_of("/v1/batches")).json(&all).build().unwrap();
    let (_, batch) = other.send(post).await;
    assert_eq!((&batch["counts"]["skipped"], &batch["counts"]["total"]), (&json!(0), &json!(2)));
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_with_the_same_key_is_the_same_batch() {
    let scene = Scene::start().await;
    let body = json!({ "items": [{ "request": { "prompt": "uno" } }], "defaults": { "provider": "test", "model": "m" } });
    let key = [("idempotency-key", "k")];
    let starts = (0..8).map(|_| scene.ask("POST", "batches", &key, Some(&body)));
    let started = futures::future::join_all(starts).await;
    let first = started[0].1["id"].as_str().unwrap();
    assert!(started.iter().all(|(status, batch)| status.is_success() && batch["id"] == first), "{started:?}");
    scene.ended(first).await;
    let again = scene.ask("POST", "batches", &key, Some(&body)).await;
    assert_eq!((again.0, &again.1["id"], &again.1["status"]), (StatusCode::OK, &json!(first), &json!("completed")));
    let other = json!({ "items": [{ "request": { "prompt": "dos" } }], "defaults": { "provider": "test", "model": "m" } });
    let (status, conflict) = scene.ask("POST", "batches", &key, Some(&other)).await;
    assert_eq!((status, &conflict["code"]), (StatusCode::CONFLICT, &json!("idempotency_conflict")));
    assert_eq!(scene.found("generations").await["data"].as_array().unwrap().len(), 1, "one generation for nine requests");
    // A key of a batch is none of a generation.
    let one = scene.ask("POST", "generations", &key, Some(&json!({ "provider": "test", "model": "m", "prompt": "uno" }))).await;
    assert_eq!(one.0, StatusCode::ACCEPTED, "{}", one.1);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_listed_newest_first_and_deleted_with_what_is_theirs() {
    let scene = Scene::start().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "a"] {
        ids.push(scene.batch(&["uno"], json!({ "name": name, "wait": 60 })).await);
    }
    let listed = |page: &Value| page["data"].as_array().unwrap().iter().map(|batch| batch["id"].clone()).collect::<Vec<_>>();
    let newest_first: Vec<Value> = ids.iter().rev().map(|id| json!(id)).collect();
    assert_eq!(listed(&scene.found("batches").await), newest_first);
    let first = scene.found("batches?limit=2").await;
    assert_eq!((listed(&first), &first["has_more"]), (newest_first[..2].to_vec(), &json!(true)));
    let rest = scene.found(&format!("batches?limit=2&after={}", first["last_id"].as_str().unwrap())).await;
    assert_eq!((listed(&rest), &rest["has_more"]), (newest_first[2..].to_vec(), &json!(false)));
    assert_eq!(listed(&scene.found("batches?name=a&status=ended").await), [newest_first[0].clone(), newest_first[2].clone()]);
    assert_eq!(listed(&scene.found("batches?status=open").await), Vec::<Value>::new());

    let generation = scene.items(&ids[0]).await[0]["generation"].as_str().unwrap().to_owned();
    let (status, deleted) = scene.ask("DELETE", &format!("batches/{}", ids[0]), &[], None).await;
    assert_eq!((status, &deleted["deleted"]), (StatusCode::OK, &json!(true)));
    for path in ["", "/items", "/results", "/report", "/events"] {
        let (status, gone) = scene.ask("GET", &format!("batches/{}{path}", ids[0]), &[], None).await;
        assert_eq!((status, gone["detail"].as_str().unwrap().contains("no batch")), (StatusCode::NOT_FOUND, true), "{gone}");
    }
    assert_eq!(scene.found(&format!("generations/{generation}")).await["status"], "completed", "its generations stay");
    // With a generation goes its request, which is the item's.
    let app = scene.harness.stack.app().await.unwrap();
    let key = BatchKey::new("local".parse().unwrap(), ids[1].parse().unwrap());
    let second = scene.items(&ids[1]).await[0]["generation"].as_str().unwrap().to_owned();
    assert_eq!(scene.ask("DELETE", &format!("generations/{second}"), &[], None).await.0, StatusCode::OK);
    let retried = app.retry_batch(&key, &[ItemStatus::Completed], None).await.unwrap_err().to_string();
    assert!(retried.contains("are deleted, or have expired"), "{retried}");
    assert_eq!(scene.found("batches").await["data"].as_array().unwrap().len(), 2);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_name_every_error() {
    let scene = Scene::start().await;
    let body = json!({ "items": [{ "request": { "prompt": "p", "temperature": 9 } }, { "custom_id": "" }, {}], "defaults": { "provider": "test", "model": "m" } });
    let (status, wrong) = scene.ask("POST", "batches", &[], Some(&body)).await;
    let pointers: Vec<&str> =
        wrong["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!((status, pointers), (StatusCode::BAD_REQUEST, vec!["/items/1/custom_id"]), "the form of the body comes first");
    let body = json!({ "items": [{ "request": { "prompt": "p", "temperature": 9 } }, {}], "defaults": { "provider": "test", "model": "m" } });
    let (_, wrong) = scene.ask("POST", "batches", &[], Some(&body)).await;
    let pointers: Vec<&str> =
        wrong["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/items/0/request/temperature", "/items/1/request/prompt"], "{wrong}");
    let id = scene.batch(&["uno"], json!({ "wait": 60 })).await;
    for (method, path, body) in [
        ("PATCH", format!("batches/{id}"), json!({})),
        ("POST", format!("batches/{id}/retry"), json!({ "only": ["completed"] })),
        ("POST", format!("batches/{id}/retry"), json!({})),
        ("POST", format!("batches/{id}/tokens"), json!({ "expires_in": 0 })),
        ("PATCH", format!("batches/{id}"), json!({ "concurrency": 2 })),
    ] {
        let (status, wrong) = scene.ask(method, &path, &[], Some(&body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path} {body}: {wrong}");
    }
    for path in
        ["items?after=10000", "items?limit=0", "items?status=gone", "results?limit=0", "report?format=pdf", "events?after=x"]
    {
        let (status, wrong) = scene.ask("GET", &format!("batches/{id}/{path}"), &[], None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {wrong}");
    }
    scene.harness.finish().await;
}
