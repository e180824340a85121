//! Quotas: what an organization may use in a day, counted exactly.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use longhand::quota::{DayUsage, Quota};
use longhand::{App, Clock, Organization};
use longhand_local::playback::Usage;
use longhand_local::{Options, Playback, Script};
use longhand_tests::sensitive::play;
use longhand_tests::tap::{Action, Call, Fault, Tap, taps};
use longhand_tests::{Harness, compact_ended, environment, key_of};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};

/// A micro-dollar for each token of the prompt, two for one of the output.
const PRICES: &str = r#"{"test":{"m":{"input":1000000,"output":2000000}}}"#;

async fn bounded(script: Script, quota: Quota) -> (Harness, Playback, App, Clock) {
    let playback = play(script).unwrap();
    let clock = Clock::system();
    let env = environment(playback.base_url(), &[("LONGHAND_PRICES", PRICES), ("LONGHAND_UNWATCHED_WINDOW_MS", "20")]);
    let harness = Harness::with(Options { env, clock: clock.clone(), ..Options::default() }).await;
    let app = harness.stack.app().await.unwrap();
    app.set_quota(&organization(), quota).await.unwrap();
    (harness, playback, app, clock)
}

fn organization() -> Organization {
    "local".parse().unwrap()
}

async fn used(app: &App) -> DayUsage {
    app.quota_view(&organization()).await.unwrap().used
}

fn request(harness: &Harness) -> reqwest::RequestBuilder {
    let body = json!({ "provider": "test", "model": "m", "prompt": "Hola" });
    harness.http.post(harness.url_of("/v1/generations")).json(&body)
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_generations_are_counted_exactly() {
    let quota = Quota { generations_per_day: Some(5), ..Quota::default() };
    let (harness, _playback, app, clock) = bounded(Script::new(["Hola"]), quota).await;
    let answers = join_all((0..12).map(|_| request(&harness).send())).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let accepted = answers.iter().filter(|answer| answer.status() == StatusCode::ACCEPTED).count();
    assert_eq!(accepted, 5);
    for refused in answers.into_iter().filter(|answer| answer.status() != StatusCode::ACCEPTED) {
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let seconds: u64 = refused.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=86_400).contains(&seconds), "{seconds}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "quota_generations");
        assert!(problem["detail"].as_str().unwrap().contains("5 generations a day"), "{problem}");
    }
    assert_eq!(used(&app).await.generations, 5);
    let (_, page) = harness.get("generations").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 5, "nothing of the refused ones is stored");
    let response = harness.http.post(harness.url_of("/v1/responses")).json(&json!({ "model": "test/m", "input": "Hola" }));
    let refused = response.send().await.unwrap();
    assert_eq!(
        (refused.status(), refused.headers()["x-should-retry"].to_str().unwrap()),
        (StatusCode::TOO_MANY_REQUESTS, "false")
    );
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["error"]["type"], "insufficient_quota", "{refused}");
    // A day later their logs will have expired.
    for record in page["data"].as_array().unwrap() {
        assert_eq!(harness.ended(record["id"].as_str().unwrap()).await["status"], "completed");
    }
    clock.advance(Duration::from_hours(24));
    assert_eq!(request(&harness).send().await.unwrap().status(), StatusCode::ACCEPTED, "the next day");
    harness.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_request_counts_once() {
    let quota = Quota { generations_per_day: Some(1), ..Quota::default() };
    let (harness, _playback, app, _) = bounded(Script::new(["Hola"]), quota).await;
    let answers = join_all((0..4).map(|_| request(&harness).header("idempotency-key", "k").send())).await;
    let mut ids = Vec::new();
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        ids.push(answer.json::<Value>().await.unwrap()["id"].clone());
    }
    ids.dedup();
    assert_eq!((ids.len(), used(&app).await.generations), (1, 1));
    harness.ended(ids[0].as_str().unwrap()).await;
    harness.finish().await;
}

/// The first transactions of each function are cancelled, for these reasons of their last item.
#[derive(Clone, Debug, Default)]
struct Cancelled(Arc<Mutex<BTreeMap<String, usize>>>);

const REASONS: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

#[derive(Debug)]
struct CancelledOf(String, Cancelled);

impl Tap for CancelledOf {
    fn call(&self, call: Call) -> BoxFuture<'static, Action> {
        let cancelled = call.operation == "TransactWriteItems";
        let reason = cancelled.then(|| {
            let mut seen = self.1.0.lock().unwrap();
            let seen = seen.entry(self.0.clone()).or_default();
            *seen += 1;
            REASONS.get(*seen - 1)
        });
        let body = |reason: &str| {
            let reasons = json!([{ "Code": "None" }, { "Code": reason, "Message": "not now" }]);
            let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
            json!({ "__type": kind, "Message": "Transaction cancelled", "CancellationReasons": reasons }).to_string()
        };
        let refused = reason.flatten().map(|reason| Action::Refuse(Fault::Answer { status: 400, body: body(reason) }));
        std::future::ready(refused.unwrap_or(Action::Pass)).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_transaction_is_retried_and_counts_once() {
    let playback = play(Script::new(["Hola"])).unwrap();
    let cancelled = Cancelled::default();
    let env = environment(playback.base_url(), &[("LONGHAND_MAX_GENERATIONS_PER_DAY", "5")]);
    let seen = cancelled.clone();
    let parts = taps(move |handler| CancelledOf(handler.to_owned(), seen.clone()));
    let harness = Harness::with(Options { env, parts, ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    assert_eq!(harness.ended(&id).await["status"], "completed");
    let used = used(&harness.stack.app().await.unwrap()).await;
    assert_eq!((used.generations, used.output_bytes), (1, 4));
    let tries: Vec<_> = cancelled.0.lock().unwrap().clone().into_iter().collect();
    assert_eq!(tries, [("compact".to_owned(), REASONS.len() + 1), ("start".to_owned(), REASONS.len() + 1)]);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_compactions_count_once() {
    let usage = Some(Usage { prompt_tokens: 100, completion_tokens: 50 });
    let quota = Quota { spend_per_day: Some(1_000_000), output_bytes_per_day: Some(1_000), ..Quota::default() };
    let (harness, _playback, app, _) = bounded(Script { usage, ..Script::new(["Hola ", "mundo"]) }, quota).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 2).await;
    // Beside the trigger's own.
    let key = key_of(&id);
    let compactions = join_all((0..4).map(|number| {
        let (app, key) = (app.clone(), &key);
        async move { compact_ended(&app, key, &number.to_string()).await }
    }));
    compactions.await;
    harness.ended(&id).await;
    assert_eq!(used(&app).await, DayUsage { generations: 1, output_bytes: 10, spend: 100 + 2 * 50 });
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spend_limit_stops_a_generation() {
    let script = Script { tempo: 200.0, ..Script::new((0..400).map(|_| "cuatro. ")) };
    let quota = Quota { spend_per_day: Some(400), ..Quota::default() };
    let (harness, playback, app, _) = bounded(script, quota).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("spend_limit")), "{record}");
    assert!(record["error"]["message"].as_str().unwrap().contains("$0.0004"), "{record}");
    let received = record["progress"]["received_bytes"].as_u64().unwrap();
    assert!((1..3_200).contains(&received) && playback.stats().closed_early == 1, "{received}");
    let spent = used(&app).await.spend;
    assert!((401..500).contains(&spent), "a delta more than there was: {spent}");
    let (status, problem) = harness.post(&json!({ "provider": "test", "model": "m", "prompt": "Hola" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("quota_spend")));
    let (status, problem) = harness.post(&json!({ "provider": "test", "model": "n", "prompt": "Hola" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("quota_spend")));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_limit_of_a_day_stops_a_generation() {
    let quota = Quota { output_bytes_per_day: Some(100), spend_per_day: Some(1_000_000), ..Quota::default() };
    let (harness, _playback, app, _) = bounded(Script::new(["0123456789"; 6]), quota).await;
    let first = harness.start_generation(json!({})).await;
    assert_eq!(harness.ended(&first).await["status"], "completed");
    let second = harness.start_generation(json!({})).await;
    let record = harness.ended(&second).await;
    assert_eq!(record["reason"], "output_limit", "{record}");
    assert!(record["error"]["message"].as_str().unwrap().contains("larger than 40 bytes"), "{record}");
    assert_eq!(used(&app).await.output_bytes, 110, "what passed the bound is kept, and counted");
    let (status, problem) = harness.post(&json!({ "provider": "test", "model": "m", "prompt": "Hola" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("quota_output_bytes")));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spend_limit_refuses_a_model_without_price() {
    let quota = Quota { spend_per_day: Some(400), ..Quota::default() };
    let (harness, _playback, ..) = bounded(Script::new(["Hola"]), quota).await;
    let (status, problem) = harness.post(&json!({ "provider": "test", "model": "n", "prompt": "Hola" })).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/model")), "{problem}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unbounded_organization_is_not_counted() {
    let (harness, _playback, app, _) = bounded(Script::new(["Hola"]), Quota::default()).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    assert_eq!(used(&app).await, DayUsage::default());
    harness.finish().await;
}
