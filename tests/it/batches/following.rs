//! Live progress: by events, by `ETag`, and with a token.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{ENDLESS, REFUSED, Scene, counts};

/// The events of a text, each with its name, its data and its id.
fn events(text: &str) -> Vec<(String, Value, Option<String>)> {
    let blocks = text.split("\n\n").filter(|block| block.starts_with("event: "));
    let event = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        (field("event: ").unwrap(), serde_json::from_str(&field("data: ").unwrap()).unwrap(), field("id: "))
    };
    blocks.map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_each_item_and_the_end() {
    let scene = Scene::start().await;
    let id = scene.batch(&["uno", REFUSED, "tres", "cuatro"], json!({ "concurrency": 2 })).await;
    let text = scene.raw(&format!("batches/{id}/events")).await.text().await.unwrap();
    let told = events(&text);
    assert_eq!((told[0].0.as_str(), &told[0].1["id"]), ("started", &json!(id)));
    let (name, last, revision) = told.last().unwrap();
    assert_eq!((name.as_str(), counts(last)), ("completed", json!({ "completed": 3, "failed": 1 })));
    // The last word on each item is how it ended.
    let of_items: BTreeMap<u64, &Value> = told
        .iter()
        .filter(|(name, ..)| name == "item")
        .map(|(_, item, _)| (item["index"].as_u64().unwrap(), &item["status"]))
        .collect();
    assert_eq!(of_items.into_values().collect::<Vec<_>>(), ["completed", "failed", "completed", "completed"]);
    assert!(told.iter().filter(|(name, ..)| name == "progress").all(|(_, data, _)| data["counts"]["total"] == 4), "{text}");
    let revision = revision.clone().unwrap();
    let path = format!("batches/{id}/events?after={revision}");
    assert_eq!(scene.answer(&path, &[]).await.status(), StatusCode::NO_CONTENT, "the reader has all of it");
    // One who comes back is told what has changed since.
    let rest =
        scene.raw(&format!("batches/{id}/events?after={}", revision.parse::<u64>().unwrap() - 1)).await.text().await.unwrap();
    let rest = events(&rest);
    assert_eq!(rest.last().unwrap().0, "completed");
    assert!(rest.len() < told.len() && rest.iter().all(|(name, ..)| name != "started"), "{rest:?}");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_tells_whether_anything_has_changed() {
    let scene = Scene::start().await;
    let id = scene.batch(&["uno"], json!({ "wait": 60 })).await;
    let answer = scene.raw(&format!("batches/{id}")).await;
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    for (known, expected) in
        [(etag.as_str(), StatusCode::NOT_MODIFIED), ("*", StatusCode::NOT_MODIFIED), ("\"0\"", StatusCode::OK)]
    {
        assert_eq!(scene.answer(&format!("batches/{id}"), &[("if-none-match", known)]).await.status(), expected, "{known}");
    }
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_reads_a_batch_and_its_generations_and_nothing_else() {
    let scene = Scene::start().await;
    let id = scene.batch(&["uno", ENDLESS], json!({})).await;
    let other = scene.batch(&["dos"], json!({ "wait": 60 })).await;
    let token = scene.done("POST", &format!("batches/{id}/tokens"), &json!({ "expires_in": 60 })).await;
    assert_eq!((&token["batch"], token.get("generation")), (&json!(id), None));
    let own = scene.until(&id, |batch| batch["counts"]["completed"] == 1).await;
    assert_eq!(own["counts"]["running"], 1);
    let item = scene.items(&id).await[0]["generation"].as_str().unwrap().to_owned();
    let foreign = scene.items(&other).await[0]["generation"].as_str().unwrap().to_owned();
    let reader = scene.harness.with_key(token["token"].as_str().unwrap());
    let response = item.replace("gen_", "resp_");
    let unknown = "gen_00000000000000000000000000";
    for (path, expected) in [
        (format!("batches/{id}"), StatusCode::OK),
        (format!("batches/{id}/items"), StatusCode::OK),
        (format!("generations/{item}"), StatusCode::OK),
        (format!("generations/{item}/output"), StatusCode::OK),
        (format!("generations/{item}/events"), StatusCode::OK),
        (format!("responses/{response}"), StatusCode::OK),
        (format!("generations/{item}/validation_issues"), StatusCode::FORBIDDEN),
        (format!("generations/{foreign}"), StatusCode::FORBIDDEN),
        (format!("generations/{unknown}"), StatusCode::FORBIDDEN),
        (format!("batches/{other}"), StatusCode::FORBIDDEN),
        ("batches".to_owned(), StatusCode::FORBIDDEN),
        ("generations".to_owned(), StatusCode::FORBIDDEN),
    ] {
        assert_eq!(reader.status("GET", &format!("/v1/{path}")).await, expected, "{path}");
    }
    for path in [format!("batches/{id}/cancel"), format!("batches/{id}/tokens"), format!("batches/{id}/retry")] {
        assert_eq!(reader.status("POST", &format!("/v1/{path}")).await, StatusCode::FORBIDDEN, "{path}");
    }
    scene.done("POST", &format!("batches/{id}/cancel"), &json!({})).await;
    scene.ended(&id).await;
    scene.harness.finish().await;
}
