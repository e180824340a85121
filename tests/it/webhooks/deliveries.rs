//! The log of deliveries: pages, deliveries again, and what is due and found by the sweep.

use std::time::Duration;

use longhand_tests::receiver::{Answer, Receiver};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_pages_by_status_and_what_has_ended_is_sent_again() {
    let scene = Scene::still().await;
    let receiver = Receiver::answering(Answer::of(410)).await;
    let endpoint = scene.endpoint(receiver.url(), &["batch.*"]).await;
    let path = format!("webhooks/{}", endpoint["id"].as_str().unwrap());
    scene.happen("bat_0").await;
    let pending = scene.deliveries(&endpoint).await[0]["id"].as_str().unwrap().to_owned();
    let (status, refused) = scene.ask("POST", &format!("deliveries/{pending}/resend"), None).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("not_ended")));
    scene.send_due(&endpoint).await;
    receiver.answer(Answer::of(200));
    scene.done("PATCH", &path, &json!({ "enabled": true })).await;
    for number in 1..5 {
        scene.clock.advance(Duration::from_secs(1));
        scene.happen(&format!("bat_{number}")).await;
    }
    scene.send_due(&endpoint).await;
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = scene.found(&format!("{path}/deliveries?limit=2{after}")).await;
        found.extend(page["data"].as_array().unwrap().iter().map(|delivery| delivery["status"].as_str().unwrap().to_owned()));
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(found, ["succeeded", "succeeded", "succeeded", "succeeded", "failed"]);
    let failed = scene.found(&format!("{path}/deliveries?status=failed")).await;
    assert_eq!((failed["data"].as_array().unwrap().len(), &failed["data"][0]["reason"]), (1, &json!("gone")));
    assert_eq!(scene.ask("GET", &format!("{path}/deliveries?status=lost"), None).await.0, StatusCode::BAD_REQUEST);
    // Again: another delivery of the same event, with the same body.
    scene.clock.advance(Duration::from_secs(1));
    let again = scene.done("POST", &format!("deliveries/{pending}/resend"), &Value::Null).await;
    assert_eq!((&again["resend_of"], &again["status"]), (&json!(pending), &json!("pending")));
    scene.send_due(&endpoint).await;
    let got = receiver.got();
    assert_eq!((got[0].header("webhook-id"), &got[0].text), (got[5].header("webhook-id"), &got[5].text));
    let first = scene.deliveries(&endpoint).await.into_iter().find(|delivery| delivery["id"] == pending.as_str()).unwrap();
    assert_eq!(first["status"], "failed", "what has ended stays so");
    let absent = "dlv_01arz3ndektsv4rrffq69g5fav";
    assert_eq!(scene.ask("POST", &format!("deliveries/{absent}/resend"), None).await.0, StatusCode::NOT_FOUND);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_has_sent_what_is_due_and_nothing_else() {
    let scene = Scene::still().await;
    let receiver = Receiver::answering(Answer::of(500)).await;
    let endpoint = scene.endpoint(receiver.url(), &["batch.*"]).await;
    scene.happen("bat_1").await;
    let mut config = scene.harness.config("sweep");
    config.deliver_function = Some("longhand-deliver:live".to_owned());
    let app = scene.harness.app(config, scene.clock.clone()).await;
    let sweep = async || app.sweep(std::future::pending()).await.unwrap().due_deliveries;
    assert_eq!(sweep().await, 1, "its invoke was lost");
    receiver.until(1).await;
    while scene.deliveries(&endpoint).await[0]["tries"] != 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(sweep().await, 0, "it is due in five seconds");
    receiver.answer(Answer::of(200));
    scene.clock.advance(Duration::from_secs(6));
    assert_eq!(sweep().await, 1);
    scene.delivered(&endpoint, 1).await;
    assert_eq!((sweep().await, receiver.got().len()), (0, 2));
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_costs_at_most_seven_write_units_and_three_read_units() {
    let scene = Scene::still().await;
    let receiver = Receiver::start().await;
    let endpoint = scene.endpoint(receiver.url(), &["batch.*"]).await;
    let told = scene.app("settle").await;
    let organization = "local".parse().unwrap();
    let (data, to) = (serde_json::Map::new(), longhand::notifications::notify::Notify::default());
    let event = longhand::notifications::EventType::BatchCompleted;
    let happened = longhand::notifications::Notification::new(&organization, event, "bat_1", scene.clock.now_ms(), data, &to);
    told.fan_out(&happened).await.unwrap();
    let ids = scene.deliveries(&endpoint).await.into_iter().map(|delivery| delivery["id"].as_str().unwrap().parse().unwrap());
    let job = longhand::notifications::delivery::DeliverJob { organization, deliveries: ids.collect() };
    let sent = scene.app("deliver").await;
    sent.deliver(&job, Duration::ZERO).await.unwrap();
    let (told, sent) = (told.meter().reading(), sent.meter().reading());
    eprintln!(
        "a delivery: {} and {} write units, {} and {} read units",
        told.write_units, sent.write_units, told.read_units, sent.read_units
    );
    assert!(told.write_units + sent.write_units <= 7);
    assert!(told.read_units + sent.read_units <= 3.0);
    assert_eq!(scene.deliveries(&endpoint).await[0]["status"], "succeeded");
    scene.harness.finish().await;
}
