//! Receivers of every kind, over real connections, in a time of the test's own: each is followed by the right next step.

use std::time::Duration;

use longhand::Delivered;
use longhand::clock::millis_of;
use longhand_tests::receiver::{Answer, Receiver};
use serde_json::{Value, json};

use super::Scene;

/// Seconds from now to the next try, within a tenth of `expected`.
fn assert_next(scene: &Scene, delivery: &Value, expected: i64) {
    let next = millis_of(delivery["next_attempt_at"].as_str().unwrap()).unwrap();
    let wait = next - scene.clock.now_ms();
    assert!((wait - expected * 1_000).abs() <= expected * 100, "{wait} ms, not {expected} s: {delivery}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_receiver_is_followed_by_the_right_next_step() {
    let scene = Scene::still().await;
    let retry_after = |status, value: &str| Answer::Status(status, vec![("retry-after", value.to_owned())], 0);
    let cases = [
        ("takes it", Answer::of(200), "succeeded", Some(200), None, None),
        ("takes it and says much", Answer::Status(202, Vec::new(), 10_000_000), "succeeded", Some(202), None, None),
        ("hangs", Answer::Hang, "pending", None, Some("timeout"), Some(5)),
        (
            "redirects",
            Answer::Status(302, vec![("location", "http://127.0.0.1:1/".to_owned())], 0),
            "pending",
            Some(302),
            None,
            Some(5),
        ),
        ("is not there", Answer::of(404), "pending", Some(404), None, Some(5)),
        ("fails at length", Answer::Status(500, Vec::new(), 10_000_000), "pending", Some(500), None, Some(5)),
        ("is busy", retry_after(429, "120"), "pending", Some(429), None, Some(120)),
        ("is down", retry_after(503, "7200"), "pending", Some(503), None, Some(7_200)),
        ("is gone", Answer::of(410), "failed", Some(410), None, None),
        (
            "asks for no more",
            Answer::Status(400, vec![("webhook-delivery", "abort-message".to_owned())], 0),
            "failed",
            Some(400),
            None,
            None,
        ),
    ];
    let mut receivers = Vec::new();
    for (name, answer, ..) in &cases {
        let receiver = Receiver::answering(answer.clone()).await;
        let endpoint =
            scene.done("POST", "webhooks", &json!({ "url": receiver.url(), "description": name, "events": ["batch.*"] })).await;
        receivers.push((receiver, endpoint));
    }
    scene.happen("bat_1").await;
    for ((receiver, endpoint), (name, _, status, code, error, next)) in receivers.iter().zip(&cases) {
        scene.send_due(endpoint).await;
        let all = scene.deliveries(endpoint).await;
        let [delivery] = all.as_slice() else { panic!("{name}: {all:?}") };
        let attempt = &delivery["attempts"][0];
        assert_eq!(delivery["status"], *status, "{name}: {delivery}");
        assert_eq!((&attempt["status_code"], &attempt["error"]), (&json!(code), &json!(error)), "{name}");
        assert!(attempt["response"].as_str().is_none_or(|text| text.len() <= 512), "{name}");
        assert_eq!(receiver.got().len(), 1, "{name}");
        match next {
            Some(next) => assert_next(&scene, delivery, *next),
            None => assert_eq!(delivery["next_attempt_at"], Value::Null, "{name}"),
        }
        // Before its time nothing is sent again.
        scene.send_due(endpoint).await;
        assert_eq!(receiver.got().len(), 1, "{name}");
        let held = scene.found(&format!("webhooks/{}", endpoint["id"].as_str().unwrap())).await;
        assert_eq!(held["enabled"], *name != "is gone", "{name}: {held}");
    }
    // A connection that is refused.
    let nobody = scene.endpoint("http://127.0.0.1:1/", &["batch.*"]).await;
    scene.happen("bat_2").await;
    scene.send_due(&nobody).await;
    assert_eq!(scene.deliveries(&nobody).await[0]["attempts"][0]["error"], "cannot_connect");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_tried_ten_times_over_three_days_under_one_id() {
    const WAITS: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    let scene = Scene::still().await;
    let receiver = Receiver::answering(Answer::of(500)).await;
    let endpoint = scene.endpoint(receiver.url(), &["batch.*"]).await;
    let happened = scene.happen("bat_1").await;
    for wait in WAITS {
        assert_eq!(scene.send_due(&endpoint).await, [Delivered::Again]);
        assert_next(&scene, &scene.deliveries(&endpoint).await[0], wait);
        scene.clock.advance(Duration::from_secs(u64::try_from(wait + wait / 10 + 1).unwrap()));
    }
    assert_eq!(scene.send_due(&endpoint).await, [Delivered::Failed]);
    let delivery = &scene.deliveries(&endpoint).await[0];
    assert_eq!(
        (&delivery["status"], &delivery["reason"], &delivery["tries"]),
        (&json!("failed"), &json!("exhausted"), &json!(10))
    );
    let got = receiver.got();
    assert_eq!(got.len(), 10);
    let mut times: Vec<&str> = got.iter().map(|got| got.header("webhook-timestamp")).collect();
    assert!(got.iter().all(|got| got.header("webhook-id") == happened.id.to_string()));
    assert!(got.iter().all(|other| other.text == got[0].text));
    times.dedup();
    assert_eq!(times.len(), 10, "each try has its own time");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_of_failures_disable_an_endpoint_and_its_owner_is_told() {
    let scene = Scene::still().await;
    let (receiver, other) = (Receiver::answering(Answer::of(500)).await, Receiver::start().await);
    let endpoint = scene.endpoint(receiver.url(), &["batch.*"]).await;
    let watching = scene.endpoint(other.url(), &["endpoint.disabled"]).await;
    let path = format!("webhooks/{}", endpoint["id"].as_str().unwrap());
    for day in 0..6 {
        for number in 0..2 {
            scene.happen(&format!("bat_{day}_{number}")).await;
        }
        scene.send_due(&endpoint).await;
        let held = scene.found(&path).await;
        assert_eq!(held["enabled"], day < 5, "day {day}: {held}");
        scene.clock.advance(Duration::from_hours(24));
    }
    let held = scene.found(&path).await;
    assert_eq!((&held["disabled_reason"], held["failures"].as_u64() >= Some(10)), (&json!("failing"), true), "{held}");
    // The notification comes by the stream, as that of any parent.
    let began = std::time::Instant::now();
    while scene.deliveries(&watching).await.is_empty() {
        assert!(began.elapsed() < longhand_tests::PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    scene.send_due(&watching).await;
    let told = other.until(1).await[0].body();
    assert_eq!((&told["type"], &told["data"]["id"]), (&json!("endpoint.disabled"), &endpoint["id"]));
    // What was on its way is given up, and nothing new is made.
    let pending = scene.deliveries(&endpoint).await.into_iter().filter(|delivery| delivery["status"] == "pending").count();
    assert!(pending > 0);
    let before = receiver.got().len();
    scene.send_due(&endpoint).await;
    assert_eq!(receiver.got().len(), before);
    assert!(scene.deliveries(&endpoint).await.iter().all(|delivery| delivery["status"] == "failed"));
    scene.happen("bat_last").await;
    let count = scene.deliveries(&endpoint).await.len();
    assert_eq!(count, 12);
    // Its owner enables it again, and gets what was missed and what has failed.
    receiver.answer(Answer::of(200));
    assert_eq!(scene.ask("POST", &format!("{path}/recover"), Some(&json!({ "since": "2026-01-01T00:00:00Z" }))).await.0, 409);
    let enabled = scene.done("PATCH", &path, &json!({ "enabled": true })).await;
    assert_eq!((&enabled["failures"], &enabled["failing_since"]), (&json!(0), &Value::Null));
    let recovered = scene.done("POST", &format!("{path}/recover"), &json!({ "since": "2026-01-01T00:00:00Z" })).await;
    assert_eq!(recovered["failed"], 12, "{recovered}");
    let again = scene.done("POST", &format!("{path}/recover"), &json!({ "since": "2026-01-01T00:00:00Z" })).await;
    assert_eq!(again["failed"], 0, "each failure once");
    scene.send_due(&endpoint).await;
    assert_eq!(receiver.got().len(), before + 12);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_dies_leaves_a_lease_that_runs_out_and_the_event_comes_again() {
    let scene = Scene::still().await;
    let receiver = Receiver::answering(Answer::Hang).await;
    let endpoint = scene.endpoint(receiver.url(), &["batch.*"]).await;
    let happened = scene.happen("bat_1").await;
    {
        let dying = scene.send_due(&endpoint);
        tokio::pin!(dying);
        tokio::select! {
            _ = &mut dying => panic!("it hangs"),
            _ = receiver.until(1) => {}
        }
    }
    receiver.answer(Answer::of(200));
    // While it is leased nobody sends it.
    assert_eq!(scene.send_due(&endpoint).await, [Delivered::Nothing]);
    scene.clock.advance(Duration::from_mins(1));
    assert_eq!(scene.send_due(&endpoint).await, [Delivered::Succeeded]);
    let ids: Vec<String> = receiver.got().iter().map(|got| got.header("webhook-id").to_owned()).collect();
    assert_eq!(ids, [happened.id.to_string(), happened.id.to_string()]);
    // Side by side, one sends.
    scene.happen("bat_2").await;
    let (one, other) = tokio::join!(scene.send_due(&endpoint), scene.send_due(&endpoint));
    let sent = [one, other].concat().into_iter().filter(|done| *done == Delivered::Succeeded).count();
    assert_eq!((sent, receiver.got().len()), (1, 3));
    scene.harness.finish().await;
}
