//! A client of `/v1/responses` that takes nothing for granted: it reads the wire.

use std::time::{Duration, Instant};

use futures::StreamExt;
use longhand_local::Script;
use longhand_tests::{Harness, PATIENCE};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

pub fn script(deltas: usize, tempo: f64) -> Script {
    Script { deltas: (0..deltas).map(|number| format!("{number} ")).collect(), tempo, ..Script::default() }
}

/// What `POST` and its kin were answered.
pub struct Answer {
    pub status: StatusCode,
    pub should_retry: Option<String>,
    pub body: Value,
}

pub fn url(harness: &Harness, path: &str) -> String {
    format!("{}/v1/responses{path}", harness.stack.url())
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert!(header("x-request-id").is_some());
    let should_retry = header("x-should-retry");
    Answer { status: response.status(), should_retry, body: response.json().await.unwrap() }
}

pub async fn get(harness: &Harness, path: &str) -> Answer {
    send(harness.http.get(url(harness, path))).await
}

pub async fn post(harness: &Harness, path: &str, body: &Value) -> Answer {
    send(harness.http.post(url(harness, path)).json(body)).await
}

pub fn ask(extra: &Value) -> Value {
    let mut body = json!({ "model": "test/m", "input": "Hola" });
    for (name, value) in extra.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// Creates a response and answers with its id.
pub async fn create(harness: &Harness, extra: Value) -> String {
    let answer = post(harness, "", &ask(&extra)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

pub async fn ended(harness: &Harness, id: &str) -> Value {
    until(harness, id, |response| !["queued", "in_progress"].contains(&response["status"].as_str().unwrap())).await
}

pub async fn until(harness: &Harness, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let response = get(harness, &format!("/{id}")).await.body;
        if is_so(&response) {
            return response;
        }
        assert!(began.elapsed() < PATIENCE, "still waiting: {response}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Reads server-sent events to their end, or until there are `enough`; then the connection is dropped.
pub async fn read(request: RequestBuilder, enough: usize) -> Vec<Value> {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let (mut body, mut text, mut events) = (response.bytes_stream(), Vec::new(), Vec::new());
    while let Some(bytes) = body.next().await {
        text.extend_from_slice(&bytes.unwrap());
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = text.drain(..end + 2).collect();
            let frame = String::from_utf8(frame).unwrap();
            if frame.starts_with(':') {
                continue;
            }
            let (name, data) = frame.trim_end().split_once('\n').unwrap();
            let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name, format!("event: {}", event["type"].as_str().unwrap()));
            events.push(event);
            if events.len() == enough {
                return events;
            }
        }
    }
    assert!(text.is_empty(), "half an event");
    events
}

pub async fn replay(harness: &Harness, id: &str, after: Option<u64>) -> Vec<Value> {
    let after = after.map(|after| format!("&starting_after={after}")).unwrap_or_default();
    read(harness.http.get(url(harness, &format!("/{id}?stream=true{after}"))), usize::MAX).await
}

pub fn text(events: &[Value]) -> String {
    events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .filter_map(|event| event["delta"].as_str())
        .collect()
}

pub fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect()
}

/// Numbers from 0 without gaps; one terminal event, and that one last.
pub fn assert_whole(events: &[Value]) {
    assert_eq!(numbers(events), (0..events.len() as u64).collect::<Vec<_>>());
    let terminal = ["response.completed", "response.failed", "response.incomplete"].map(Value::from);
    let ends: Vec<usize> = (0..events.len()).filter(|place| terminal.contains(&events[*place]["type"])).collect();
    assert_eq!(ends, [events.len() - 1]);
    assert_eq!(events[0]["type"], "response.created");
}
