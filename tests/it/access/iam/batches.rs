//! What batches come to: every route of theirs, and items that are taken on by a rider, by `settle` and by `sweep`.

use std::time::Duration;

use longhand::Clock;
use longhand_local::Options;
use longhand_tests::calls::Recorder;
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::{Harness, PATIENCE, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::drive::{ask, job, large_prompt, options};

const PAUSE: Duration = Duration::from_millis(20);
/// A prompt that is answered until it is cancelled.
const ENDLESS: &str = "answer without an end";
/// A prompt at which the provider fails.
const BROKEN: &str = "break off in the middle";

async fn provider() -> Hostile {
    Hostile::improvising("test", |_, body| match body["messages"][0]["content"].as_str() {
        Some(ENDLESS) => Script::stream(std::iter::repeat_n(wire::text("more "), 100_000)).paced(Duration::from_millis(50)),
        Some(BROKEN) => Script::stream([wire::text("beg")]).ending(Ending::Reset),
        _ => Script::stream([wire::whole(&["uno"])]),
    })
    .await
}

fn bounded(recorder: &Recorder, provider: &Hostile, clock: &Clock, faults: Option<&Faults>) -> Options {
    let env = [("LONGHAND_MAX_RUNNING", "9"), ("AWS_MAX_ATTEMPTS", "1")];
    options(recorder, environment(&provider.base_url("test"), &env), clock, faults)
}

async fn start(harness: &Harness, prompts: &[&str], fields: Value) -> String {
    let items: Vec<Value> = prompts.iter().map(|prompt| json!({ "request": { "prompt": prompt } })).collect();
    let mut body = json!({ "items": items, "defaults": { "provider": "test", "model": "m" } });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    let answer = ask(harness, "POST", "/v1/batches", Some(&body), StatusCode::ACCEPTED).await;
    serde_json::from_str::<Value>(&answer).unwrap()["id"].as_str().unwrap().to_owned()
}

/// A batch whose items are in a file, and one whose file is not there.
async fn start_from_upload(harness: &Harness) {
    let upload = ask(harness, "POST", "/v1/uploads", Some(&json!({ "purpose": "batch" })), StatusCode::CREATED).await;
    let upload: Value = serde_json::from_str(&upload).unwrap();
    let body = json!({ "items_from": upload["id"], "defaults": { "provider": "test", "model": "m" } });
    ask(harness, "POST", "/v1/batches", Some(&body), StatusCode::BAD_REQUEST).await;
    let put = harness.http.put(upload["url"].as_str().unwrap()).body(r#"{"request":{"prompt":"uno"}}"#);
    let headers = upload["headers"].as_object().unwrap().iter();
    let put = headers.fold(put, |put, (name, value)| put.header(name, value.as_str().unwrap()));
    assert!(put.send().await.unwrap().status().is_success());
    let batch = ask(harness, "POST", "/v1/batches", Some(&body), StatusCode::ACCEPTED).await;
    let batch: Value = serde_json::from_str(&batch).unwrap();
    until(harness, batch["id"].as_str().unwrap(), |batch| batch["status"] == "completed").await;
}

async fn until(harness: &Harness, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let looks = async {
        loop {
            let (_, batch) = harness.get(&format!("batches/{id}")).await;
            if is_so(&batch) {
                return batch;
            }
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, looks).await.expect("the batch comes so far")
}

async fn generation(harness: &Harness, id: &str, index: usize) -> String {
    let (_, page) = harness.get(&format!("batches/{id}/items")).await;
    page["data"][index]["generation"].as_str().unwrap_or_default().to_owned()
}

/// A batch whose items are taken on by its riders, that is read in every way, changed, cancelled, repeated and deleted.
pub async fn that_go_on(recorder: Recorder) {
    let provider = provider().await;
    let harness = Harness::without(&["EveryMinute"], bounded(&recorder, &provider, &Clock::system(), None)).await;
    let large = large_prompt();
    let id = start(&harness, &["uno", BROKEN, ENDLESS, &large], json!({ "concurrency": 1, "retries": 1 })).await;
    let batch = format!("/v1/batches/{id}");
    // The endless one has the place of the broken one, which waits for its second try. The counts are the same while the broken one runs.
    let looks = async {
        while generation(&harness, &id, 2).await.is_empty() {
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, looks).await.expect("the endless one is started");
    until(&harness, &id, |batch| {
        batch["counts"]
            == json!({ "total": 4, "pending": 2, "running": 1, "completed": 1, "failed": 0, "cancelled": 0, "skipped": 0 })
    })
    .await;
    // The counts are the same while the broken one runs its first try.
    while generation(&harness, &id, 2).await.is_empty() {
        sleep(PAUSE).await;
    }
    let events = harness.http.get(harness.url_of(&format!("{batch}/events"))).build().unwrap();
    let events = harness.execute(events).await;
    ask(&harness, "PATCH", &batch, Some(&json!({ "concurrency": 3 })), StatusCode::OK).await;
    until(&harness, &id, |batch| batch["counts"]["completed"] == 2 && batch["counts"]["failed"] == 1).await;
    for way in ["", "/items?status=failed", "/results", "/report"] {
        ask(&harness, "GET", &format!("{batch}{way}"), None, StatusCode::OK).await;
    }
    ask(&harness, "GET", "/v1/batches", None, StatusCode::OK).await;
    ask(&harness, "POST", &format!("{batch}/tokens"), Some(&json!({})), StatusCode::CREATED).await;
    ask(&harness, "POST", &format!("{batch}/cancel"), Some(&json!({})), StatusCode::OK).await;
    assert!(events.text().await.unwrap().contains("event: cancelled"));
    let again =
        ask(&harness, "POST", &format!("{batch}/retry"), Some(&json!({ "only": ["failed", "cancelled"] })), StatusCode::ACCEPTED)
            .await;
    let again: Value = serde_json::from_str(&again).unwrap();
    let again = again["id"].as_str().unwrap();
    ask(&harness, "POST", &format!("/v1/batches/{again}/cancel"), Some(&json!({})), StatusCode::OK).await;
    until(&harness, again, |batch| batch["status"] == "cancelled").await;
    // Its request is in the bucket.
    let copied = start(&harness, &[&large, ENDLESS], json!({ "concurrency": 1 })).await;
    until(&harness, &copied, |batch| batch["counts"]["completed"] == 1).await;
    ask(&harness, "POST", &format!("/v1/batches/{copied}/cancel"), Some(&json!({})), StatusCode::OK).await;
    start_from_upload(&harness).await;
    let second = start(&harness, &[ENDLESS, &large], json!({ "concurrency": 1 })).await;
    ask(&harness, "POST", &format!("/v1/batches/{second}/cancel"), Some(&json!({})), StatusCode::OK).await;
    until(&harness, &second, |batch| batch["status"] == "cancelled").await;
    let retry = format!("/v1/batches/{second}/retry");
    let third = ask(&harness, "POST", &retry, Some(&json!({ "only": ["cancelled"] })), StatusCode::ACCEPTED).await;
    let third: Value = serde_json::from_str(&third).unwrap();
    ask(&harness, "POST", &format!("/v1/batches/{}/cancel", third["id"].as_str().unwrap()), Some(&json!({})), StatusCode::OK)
        .await;
    ask(&harness, "DELETE", &batch, None, StatusCode::OK).await;
    harness.finish().await;
}

/// A batch whose invokes are lost: `settle` and `sweep` take its items on, and end what is left when one too many has failed.
pub async fn that_riders_do_not_take_on(recorder: Recorder) {
    let provider = provider().await;
    let clock = Clock::system();
    let faults = Faults::deciding(|_, function, call| {
        (function == "start" && call.operation == "InvokeFunction").then_some(Mode::Refused)
    });
    let harness = Harness::without(&["EveryMinute"], bounded(&recorder, &provider, &clock, Some(&faults))).await;
    let large = large_prompt();
    let id = start(&harness, &["uno", &large], json!({ "concurrency": 1 })).await;
    harness.stack.invoke("stream", job(&generation(&harness, &id, 0).await)).await.unwrap();
    until(&harness, &id, |batch| batch["status"] == "completed").await;

    let id = start(&harness, &["never streamed", BROKEN], json!({ "concurrency": 2, "retries": 0, "max_failed": 0 })).await;
    harness.stack.invoke("stream", job(&generation(&harness, &id, 1).await)).await.unwrap();
    until(&harness, &id, |batch| batch["status"] == "failed").await;

    let id = start(&harness, &["uno", "dos"], json!({ "concurrency": 2 })).await;
    clock.advance(Duration::from_mins(2));
    harness.stack.invoke("sweep", json!({})).await.unwrap();
    until(&harness, &id, |batch| batch["status"] == "completed").await;
    harness.finish().await;
}

/// A start that fails before its items are all stored, which `sweep` deletes.
pub async fn whose_start_fails(recorder: Recorder) {
    let provider = provider().await;
    let clock = Clock::system();
    let faults = Faults::deciding(|_, function, call| {
        (function == "start" && call.operation == "TransactWriteItems").then_some(Mode::Refused)
    });
    let harness = Harness::without(&["EveryMinute"], bounded(&recorder, &provider, &clock, Some(&faults))).await;
    let body = json!({ "items": [{ "request": { "provider": "test", "model": "m", "prompt": large_prompt() } }] });
    ask(&harness, "POST", "/v1/batches", Some(&body), StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(harness.get("batches").await.1["data"], json!([]), "nobody was told of it");
    clock.advance(Duration::from_mins(31));
    let swept = harness.stack.invoke("sweep", json!({})).await.unwrap();
    assert_eq!((&swept["open_batches"], &swept["errors"]), (&json!(1), &json!(0)));
    let swept = harness.stack.invoke("sweep", json!({})).await.unwrap();
    assert_eq!(swept["open_batches"], json!(0), "it is deleted");
    harness.finish().await;
}
