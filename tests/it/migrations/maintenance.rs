//! While an organization is in maintenance it starts nothing new, and answers when to come again.

use std::time::Duration;

use longhand::Clock;
use longhand_local::{Options, Script};
use longhand_tests::{Harness, environment, sensitive};
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn new_starts_are_refused_with_a_time_and_repeated_ones_are_answered() {
    let playback = sensitive::play(Script { deltas: vec!["uno".into()], ..Script::default() }).unwrap();
    let clock = Clock::manual();
    let options = Options { env: environment(playback.base_url(), &[]), clock: clock.clone(), ..Options::default() };
    let harness = Harness::with(options).await;
    let body = json!({ "provider": "test", "model": "m", "prompt": "a prompt that is started once" });
    let (status, started) = harness.post_once("one", &body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{started}");
    harness.ended(started["id"].as_str().unwrap()).await;

    let app = harness.app(harness.config("api"), clock.clone()).await;
    let organization = "local".parse().unwrap();
    app.set_maintenance(&organization, Some(app.maintenance_end(Duration::from_mins(5)))).await.unwrap();
    // Functions take what they know of an organization as it is for a minute.
    clock.advance(Duration::from_secs(61));
    for path in ["generations", "responses", "chat/completions", "batches"] {
        let request = json!({ "provider": "test", "model": "test/m", "prompt": "another prompt, refused", "input": "another", "items": [{ "request": body }],
            "messages": [{ "role": "user", "content": "another" }] });
        let fields: &[&str] = match path {
            "generations" => &["provider", "model", "prompt"],
            "responses" => &["model", "input"],
            "batches" => &["items"],
            _ => &["model", "messages"],
        };
        let request: Value = fields.iter().map(|field| ((*field).to_owned(), request[*field].clone())).collect();
        let asked = harness.http.post(harness.url_of(&format!("/v1/{path}"))).json(&request);
        let answer = asked.send().await.unwrap();
        let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok()).map(str::to_owned);
        let status = answer.status();
        let told: Value = answer.json().await.unwrap();
        assert_eq!((status, after.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("60")), "{path}: {told}");
        assert!(told.to_string().contains("is being migrated"), "{path}: {told}");
    }
    let (status, problem) = harness.post(&body).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("maintenance")));
    let (_, again) = harness.post_once("one", &body).await;
    assert_eq!(again["id"], started["id"], "what was started before is answered");
    assert_eq!(harness.count().await, 1);

    // A process that was killed leaves the switch, which ends by itself.
    clock.advance(Duration::from_mins(5));
    let (status, told) = harness.post(&body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{told}");
    harness.ended(told["id"].as_str().unwrap()).await;
    app.set_maintenance(&organization, None).await.unwrap();
    harness.finish().await;
}
