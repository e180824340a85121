//! Endpoints: what may be one, and their secrets.

use std::time::Duration;

use longhand_tests::receiver::Receiver;
use reqwest::StatusCode;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_made_changed_and_deleted() {
    let scene = Scene::still().await;
    let made = scene.endpoint("https://example.com/hook", &["batch.*", "generation.failed"]).await;
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let path = format!("webhooks/{}", made["id"].as_str().unwrap());
    let held = scene.found(&path).await;
    assert_eq!((held.get("secret"), &held["enabled"]), (None, &json!(true)));
    assert_eq!(scene.found("webhooks").await["data"], json!([held]));
    let changed = scene.done("PATCH", &path, &json!({ "enabled": false, "description": "D" })).await;
    assert_eq!((&changed["disabled_reason"], &changed["description"]), (&json!("by_owner"), &json!("D")));
    assert!(scene.happen("bat_1").await.webhook);
    assert_eq!(scene.deliveries(&made).await, Vec::<Value>::new());
    for (body, pointers) in [
        (json!({ "url": "http://example.com/" }), vec!["/url"]),
        (json!({ "url": "https://10.0.0.1/", "events": ["nothing"] }), vec!["/events/0"]),
        (json!({ "url": "https://169.254.169.254/", "events": ["response.*"] }), vec!["/url", "/events/0"]),
        (json!({ "events": ["*"] }), vec!["/url"]),
    ] {
        let (status, refused) = scene.ask("POST", "webhooks", Some(&body)).await;
        let found: Vec<&str> =
            refused["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!((status, found), (StatusCode::BAD_REQUEST, pointers), "{body}");
    }
    for number in 0..19 {
        scene.endpoint(&format!("https://example.com/{number}"), &["*"]).await;
    }
    let (status, refused) = scene.ask("POST", "webhooks", Some(&json!({ "url": "https://example.com/" }))).await;
    assert!(status == StatusCode::BAD_REQUEST && refused["detail"].as_str().unwrap().contains("at most 20"), "{refused}");
    assert_eq!(scene.ask("DELETE", &path, None).await.0, StatusCode::OK);
    for (method, rest) in [("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test"), ("GET", "/deliveries")] {
        assert_eq!(scene.ask(method, &format!("{path}{rest}"), None).await.0, StatusCode::NOT_FOUND, "{method} {rest}");
    }
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_both_secrets_verify_for_a_day() {
    let scene = Scene::live().await;
    let receiver = Receiver::start().await;
    let first = scene.endpoint(receiver.url(), &["batch.*"]).await;
    let path = format!("webhooks/{}", first["id"].as_str().unwrap());
    let second = scene.done("POST", &format!("{path}/rotate"), &Value::Null).await;
    assert_ne!(first["secret"], second["secret"]);
    assert!(second["previous_secret_until"].is_string());
    scene.done("POST", &format!("{path}/test"), &Value::Null).await;
    let got = &receiver.until(1).await[0];
    assert_eq!(got.body()["type"], "test.ping");
    assert_eq!(got.header("webhook-signature").split(' ').count(), 2);
    for endpoint in [&first, &second] {
        let webhook = Webhook::new(endpoint["secret"].as_str().unwrap()).unwrap();
        webhook.verify(got.text.as_bytes(), &got.headers).unwrap();
    }
    // No table has a secret: whoever reads them cannot sign.
    let clients = scene.harness.clients().await;
    let rows = clients.dynamodb.scan().table_name(scene.harness.config("api").records_table).send().await.unwrap();
    let rows = format!("{:?}", rows.items());
    for endpoint in [&first, &second] {
        let secret = endpoint["secret"].as_str().unwrap().trim_start_matches("whsec_");
        assert!(rows.contains(first["id"].as_str().unwrap()) && !rows.contains(secret));
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    scene.harness.finish().await;
}
