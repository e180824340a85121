//! What callers ask for: every route, with keys and tokens, small and large, before the buffer has expired and after.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use longhand::Clock;
use longhand_local::Options;
use longhand_tests::calls::Recorder;
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::{Harness, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::drive::{Stores, ask, attached, job, large_prompt, log_ended, options, until_called};

/// Text, and a tool call: the first is in one object of the result, the second in the log alone.
fn both() -> Script {
    let call = json!({ "tool_calls": [{ "index": 0, "id": "c", "function": { "name": "n", "arguments": "{}" } }] });
    let writes = [wire::role(), wire::text("{\"a\": 1}"), wire::delta(call), wire::finish("tool_calls"), wire::DONE.to_owned()];
    Script::stream(writes)
}

/// A stack with an authorizer, whose keys are in Secrets Manager.
pub async fn with_keys(recorder: Recorder) {
    let stalling = Script::stream([wire::role(), wire::text("uno ")]).ending(Ending::Stall);
    let hostile = Hostile::start([("test", vec![both()]), ("stalling", vec![stalling])]).await;
    let provider = |name| json!({ "base_url": hostile.base_url(name), "key_secret": format!("longhand/{name}") });
    let providers = json!({ "test": provider("test"), "stalling": provider("stalling") }).to_string();
    let secrets = crate::access::tokens::secrets_manager(Arc::new(Mutex::new(vec!["one"]))).await;
    let env = [
        ("LONGHAND_PROVIDERS", providers.as_str()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets),
        ("LONGHAND_TOKEN_KEY", ""),
        ("GENERATION_CHUNK_TTL", "3600"),
    ];
    let clock = Clock::system();
    let harness = Harness::with(Options { authorize: true, ..options(&recorder, environment("", &env), &clock, None) }).await;
    assert_eq!(harness.with_key("lh_unknown").get("generations").await.0, StatusCode::UNAUTHORIZED);

    let (_, started) = harness.post_once("k", &json!({ "provider": "test", "model": "m", "prompt": "Hola" })).await;
    let id = started["id"].as_str().unwrap().to_owned();
    let streamed = attached(&harness, "attached", "Hola").await;
    for id in [&id, &streamed] {
        assert_eq!(harness.ended(id).await["status"], "completed");
    }
    read(&harness, &id).await;
    let (_, token) = harness.create_token(&id).await;
    let reader = harness.with_key(token["token"].as_str().unwrap());
    assert_eq!(reader.get(&format!("generations/{id}")).await.0, StatusCode::OK);
    watch_and_cancel(&harness, &recorder).await;
    responses(&harness).await;

    clock.advance(Duration::from_mins(61));
    read(&harness, &id).await;
    assert_eq!(attached(&harness, "attached", "Hola").await, streamed);
    let stores = Stores::of(&harness).await;
    for id in [&id, &streamed] {
        stores.delete_object(id, "events.jsonl.gz").await;
    }
    attached(&harness, "attached", "Hola").await;
    for way in ["output", "events"] {
        ask(&harness, "GET", &format!("/v1/generations/{id}/{way}"), None, StatusCode::GONE).await;
    }
    harness.finish().await;
}

/// Every way of reading.
async fn read(harness: &Harness, id: &str) {
    ask(harness, "GET", "/v1/generations", None, StatusCode::OK).await;
    for way in ["", "/progress", "/progress?partial=json", "/output", "/events", "/events?after=1&wait=1"] {
        ask(harness, "GET", &format!("/v1/generations/{id}{way}"), None, StatusCode::OK).await;
    }
    let stream = format!("/v1/stream/generations/{id}");
    ask(harness, "GET", &format!("{stream}?offset=-1"), None, StatusCode::OK).await;
    ask(harness, "HEAD", &stream, None, StatusCode::OK).await;
    ask(harness, "GET", &format!("/v1/responses/{}", id.replace("gen_", "resp_")), None, StatusCode::OK).await;
}

async fn watch_and_cancel(harness: &Harness, recorder: &Recorder) {
    let id = harness.start_generation(json!({ "provider": "stalling" })).await;
    let watch = harness.http.get(harness.events_url(&id)).header("accept", "text/event-stream");
    let watching = harness.execute(watch.build().unwrap()).await;
    until_called(recorder, "tail", "UpdateItem").await;
    assert_eq!(harness.cancel(&id).await.0, StatusCode::OK);
    drop(watching);
    harness.ended(&id).await;
}

async fn responses(harness: &Harness) {
    let create = async |body: Value| {
        let created: Value =
            serde_json::from_str(&ask(harness, "POST", "/v1/responses", Some(&body), StatusCode::OK).await).unwrap();
        created["id"].as_str().unwrap().to_owned()
    };
    let id = create(json!({ "model": "test/m", "input": "Hola", "background": true })).await;
    harness.ended(&id.replace("resp_", "gen_")).await;
    ask(harness, "GET", &format!("/v1/responses/{id}/input_items"), None, StatusCode::OK).await;
    ask(harness, "GET", "/v1/models", None, StatusCode::OK).await;
    ask(harness, "DELETE", &format!("/v1/responses/{id}"), None, StatusCode::OK).await;
    create(json!({ "model": "test/m", "input": "Hola" })).await;
    let id = create(json!({ "model": "stalling/m", "input": "Hola", "background": true })).await;
    ask(harness, "POST", &format!("/v1/responses/{id}/cancel"), None, StatusCode::OK).await;
    harness.ended(&id.replace("resp_", "gen_")).await;
}

/// Requests that lie in the bucket, and an output that is answered as a URL.
pub async fn with_large_requests(recorder: Recorder) {
    let long = "0123456789".repeat(120_000);
    let hostile = Hostile::start([("test", vec![Script::stream([wire::whole(&[&long])])])]).await;
    // The test itself has them streamed, when it is ready.
    let env = environment(&hostile.base_url("test"), &[("LONGHAND_STREAM_FUNCTION", "nobody")]);
    let harness = Harness::without(&["EveryMinute"], options(&recorder, env, &Clock::system(), None)).await;
    let stores = Stores::of(&harness).await;
    let prompt = large_prompt();
    let id = harness.start_generation(json!({ "prompt": prompt })).await;
    assert_eq!(harness.stack.invoke("stream", job(&id)).await.unwrap()["outcome"], json!({ "ended": "completed" }));
    let record = harness.ended(&id).await;
    let (_, output) = harness.get(&format!("generations/{id}/output")).await;
    let url = output["url"].as_str().unwrap();
    // It is signed for what `api` may read itself.
    assert!(url.contains(&format!("/local/{id}/output.txt?")), "{url}");
    assert_eq!(reqwest::get(url).await.unwrap().content_length(), record["bytes"].as_u64());

    let streamed = attached(&harness, "attached", &prompt).await;
    log_ended(&harness, &streamed).await;
    let response = id.replace("gen_", "resp_");
    let ways = [format!("/v1/responses/{response}"), format!("/v1/responses/{response}/input_items")];
    for way in &ways {
        ask(&harness, "GET", way, None, StatusCode::OK).await;
    }
    stores.delete_object(&id, "request.json").await;
    for way in &ways {
        ask(&harness, "GET", way, None, StatusCode::NOT_FOUND).await;
    }
    stores.mark_imported(&id).await;
    ask(&harness, "DELETE", &format!("/v1/generations/{id}"), None, StatusCode::OK).await;
    let id = harness.start_generation(json!({ "prompt": prompt })).await;
    stores.delete_object(&id, "request.json").await;
    assert_eq!(harness.stack.invoke("stream", job(&id)).await.unwrap()["outcome"], "gone");
    // Without a writer, `api` writes the end itself.
    let id = harness.start_generation(json!({})).await;
    assert_eq!(harness.cancel(&id).await.0, StatusCode::OK);
    harness.finish().await;
}
