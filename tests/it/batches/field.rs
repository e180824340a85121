//! The reports of a project: forty events, two of which fail; who waits is told, and starts the two again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longhand_local::Options;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::receiver::Receiver;
use longhand_tests::{Harness, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::{Scene, counts};

const EVENTS: usize = 40;
const FAILING: [usize; 2] = [7, 23];

/// What the provider tells of an event: accents, and what an earlier system has made of some.
fn text(number: usize) -> String {
    format!(
        "Evento {number}: reunión en Cádiz — «¿qué pasó?». EspaÃ±a, aÃ±o 2026, â€œhechosâ€\u{9d} 0.{number}0 ñandú \u{1f6a2}\n"
    )
}

/// A provider that sends byte by byte, and refuses some events for as long as `refuses` says so.
async fn provider(refuses: Arc<AtomicBool>) -> Hostile {
    Hostile::improvising("test", move |_, body| {
        let prompt = body["messages"][0]["content"].as_str().unwrap_or_default();
        let number: usize = prompt.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default();
        if FAILING.contains(&number) && refuses.load(Ordering::SeqCst) {
            return Script::plain("400 Bad Request", "application/json", r#"{"error":{"message":"sin datos"}}"#);
        }
        Script::byte_by_byte(wire::whole(&[&text(number)]))
    })
    .await
}

fn request() -> Value {
    let item = |number: usize| {
        let request = json!({ "prompt": format!("Redacta el evento {number}") });
        json!({ "custom_id": format!("evento-{number}"), "subject": format!("evento:{number}"), "request": request })
    };
    let defaults = json!({ "provider": "test", "model": "m", "temperature": 0.3 });
    let items: Vec<Value> = (0..EVENTS).map(item).collect();
    json!({ "name": "Informe del año", "items": items, "defaults": defaults, "concurrency": 8 })
}

async fn versions(scene: &Scene) -> Vec<usize> {
    let mut found = Vec::new();
    for number in 0..EVENTS {
        let (status, version) = scene.harness.get(&format!("subjects/evento:{number}/versions/current/output")).await;
        if status == StatusCode::OK {
            assert_eq!((&version["number"], version["text"].as_str()), (&json!(1), Some(text(number).as_str())), "{version}");
            found.push(number);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_events_of_which_two_fail_and_are_started_again() {
    let refuses = Arc::new(AtomicBool::new(true));
    let provider = provider(Arc::clone(&refuses)).await;
    let harness = Harness::with(Options { env: environment(&provider.base_url("test"), &[]), ..Options::default() }).await;
    let scene = Scene { harness, _provider: provider };
    let receiver = Receiver::start().await;
    let endpoint = scene.done("POST", "webhooks", &json!({ "url": receiver.url(), "events": ["batch.*"] })).await;
    let webhook = Webhook::new(endpoint["secret"].as_str().unwrap()).unwrap();

    let id = scene.done("POST", "batches", &request()).await["id"].as_str().unwrap().to_owned();
    let ended = scene.ended(&id).await;
    assert_eq!((&ended["status"], counts(&ended)), (&json!("completed"), json!({ "completed": 38, "failed": 2 })));
    let got = receiver.until(1).await;
    webhook.verify(got[0].text.as_bytes(), &got[0].headers).unwrap();
    let told = got[0].body();
    assert_eq!(
        (&told["type"], &told["data"]["id"], &told["data"]["name"]),
        (&json!("batch.completed"), &json!(id), &json!("Informe del año"))
    );
    assert_eq!((&told["data"]["counts"]["completed"], &told["data"]["counts"]["failed"]), (&json!(38), &json!(2)));
    let report = scene.raw(told["data"]["report"].as_str().unwrap().trim_start_matches("/v1/")).await.text().await.unwrap();
    assert!(report.starts_with("# Informe del año\n\nStatus: completed. Items: 40, of them 38 completed, 2 failed."), "{report}");

    let expected: Vec<usize> = (0..EVENTS).filter(|number| !FAILING.contains(number)).collect();
    assert_eq!(versions(&scene).await, expected, "a failed item makes no version and no text");
    let results = scene.raw(&format!("batches/{id}/results")).await.text().await.unwrap();
    for (number, line) in results.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        let known = (!FAILING.contains(&number)).then(|| text(number));
        assert_eq!(line["output"]["text"].as_str(), known.as_deref(), "{number}");
    }

    refuses.store(false, Ordering::SeqCst);
    let again = scene.done("POST", &format!("batches/{id}/retry"), &json!({})).await["id"].as_str().unwrap().to_owned();
    assert_eq!(counts(&scene.ended(&again).await), json!({ "completed": 2 }));
    assert_eq!(versions(&scene).await, (0..EVENTS).collect::<Vec<_>>());
    let got = receiver.until(2).await;
    let told = got[1].body();
    assert_eq!((&told["data"]["id"], &told["data"]["counts"]["completed"]), (&json!(again), &json!(2)));
    assert_ne!(got[0].headers["webhook-id"], got[1].headers["webhook-id"]);
    assert_eq!(receiver.got().len(), 2, "one notification for each end");
    scene.harness.finish().await;
}
