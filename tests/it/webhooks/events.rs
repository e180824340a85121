//! Events of generations, responses and versions, from their start to a receiver that verifies them.

use longhand_tests::receiver::{Got, Receiver};
use reqwest::StatusCode;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::Scene;

/// Verifies a delivery as a receiver does.
fn verified(endpoint: &Value, got: &Got) -> Value {
    let webhook = Webhook::new(endpoint["secret"].as_str().unwrap()).unwrap();
    webhook.verify(got.text.as_bytes(), &got.headers).unwrap();
    let other = Webhook::new(&format!("whsec_{}=", "A".repeat(43))).unwrap();
    assert!(other.verify(got.text.as_bytes(), &got.headers).is_err());
    got.body()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_once_signed_and_with_its_numbers() {
    let scene = Scene::live().await;
    let receiver = Receiver::start().await;
    let endpoint = scene.endpoint(receiver.url(), &["generation.*", "version.created"]).await;
    let id = scene.harness.start_generation(json!({ "prompt": "¡Olé!", "subject": "s@1" })).await;
    scene.harness.ended(&id).await;
    let got = receiver.until(2).await;
    let mut told: Vec<Value> = got.iter().map(|got| verified(&endpoint, got)).collect();
    told.sort_by_key(|told| told["type"].as_str().unwrap().to_owned());
    assert_eq!((&told[0]["type"], &told[1]["type"]), (&json!("generation.completed"), &json!("version.created")));
    assert_eq!(told[0]["organization"], "local");
    let data = &told[0]["data"];
    assert_eq!((&data["id"], &data["status"], &data["bytes"]), (&json!(id), &json!("completed"), &json!(7)), "{data}");
    assert!(!got[0].text.contains("Olé"), "no texts");
    assert_eq!((&told[1]["data"]["subject"], &told[1]["data"]["number"]), (&json!("s@1"), &json!(1)));
    let all = scene.delivered(&endpoint, 2).await;
    assert!(all.iter().all(|delivery| delivery["status"] == "succeeded" && delivery["tries"] == 1), "{all:#?}");
    // However often the stream tells it.
    let mut event: Value = serde_json::from_str(include_str!("../../../infra/events/settle.json")).unwrap();
    event["Records"][0]["dynamodb"]["Keys"]["pk"] = json!({ "S": format!("local#{id}") });
    for _ in 0..3 {
        assert_eq!(scene.harness.stack.invoke("settle", event.clone()).await.unwrap(), json!({ "batchItemFailures": [] }));
    }
    assert_eq!(scene.deliveries(&endpoint).await.len(), 2);
    // A version by hand is told by its own transaction.
    scene.done("POST", "subjects/s@1/versions", &json!({ "text": "a mano" })).await;
    let told = verified(&endpoint, &receiver.until(3).await[2]);
    assert_eq!((&told["data"]["number"], &told["data"]["change_type"]), (&json!(2), &json!("manual_edit")));
    // What fails is told as well.
    let failing = scene.harness.start_generation(json!({ "prompt": "larger", "max_output_bytes": 1, "max_attempts": 1 })).await;
    assert_eq!(scene.harness.ended(&failing).await["reason"], "output_limit");
    let told = verified(&endpoint, &receiver.until(4).await[3]);
    assert_eq!((&told["type"], &told["data"]["reason"]), (&json!("generation.failed"), &json!("output_limit")));
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_wants_it_an_end_costs_nothing_more() {
    let scene = Scene::live().await;
    let receiver = Receiver::start().await;
    let settled = async || {
        let id = scene.harness.start_generation(json!({})).await;
        scene.harness.ended(&id).await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        scene.harness.stack.read_units("settle")
    };
    assert!(settled().await.abs() < f64::EPSILON);
    let endpoint = scene.endpoint(receiver.url(), &["batch.*"]).await;
    assert!(settled().await.abs() < f64::EPSILON, "batches are other parents");
    let path = format!("webhooks/{}", endpoint["id"].as_str().unwrap());
    // What start knows of the settings is a minute old at most; this organization's was never read before.
    scene.done("PATCH", &path, &json!({ "events": ["generation.completed"] })).await;
    assert_eq!(receiver.got().len(), 0);
    let muted = scene.harness.start_generation(json!({ "notify": { "webhook": false } })).await;
    scene.harness.ended(&muted).await;
    assert_eq!(scene.ask("DELETE", &path, None).await.0, StatusCode::OK);
    assert_eq!(scene.ask("GET", &path, None).await.0, StatusCode::NOT_FOUND);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_told_in_the_form_of_openai() {
    let scene = Scene::live().await;
    let (receiver, slack) = (Receiver::start().await, Receiver::start().await);
    let body = json!({ "url": receiver.url(), "dialect": "openai", "events": ["response.*"] });
    let endpoint = scene.done("POST", "webhooks", &body).await;
    let body = json!({ "url": slack.url(), "kind": "slack", "events": ["generation.completed"] });
    let hook = scene.done("POST", "webhooks", &body).await;
    assert_eq!((hook.get("secret"), hook["url"].as_str().unwrap().contains("hook")), (None, false), "{hook}");
    let request = scene.harness.http.post(scene.harness.url_of("/v1/responses"));
    let request = request.json(&json!({ "model": "test/m", "input": "Hola", "background": true })).build().unwrap();
    let response: Value = scene.harness.execute(request).await.json().await.unwrap();
    let got = &receiver.until(1).await[0];
    let told = verified(&endpoint, got);
    let keys: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "object", "created_at", "type", "data"]);
    assert_eq!((&told["object"], &told["type"]), (&json!("event"), &json!("response.completed")));
    assert_eq!(told["data"], json!({ "id": response["id"] }));
    assert!(told["created_at"].is_i64() && told["id"].as_str().unwrap().starts_with("evt_"));
    // Slack gets a sentence, unsigned.
    let got = &slack.until(1).await[0];
    assert!(got.headers.get("webhook-signature").is_none());
    let sentence = got.body()["text"].as_str().unwrap().to_owned();
    assert!(sentence.starts_with("The generation gen_") && sentence.ends_with(" has completed."), "{sentence}");
    scene.harness.finish().await;
}
