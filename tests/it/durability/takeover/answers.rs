//! Answers of `/v1/responses` that are still being sent when the time of their function is over.

use futures::StreamExt as _;
use longhand_tests::PATIENCE;
use reqwest::StatusCode;

use super::*;

/// An answer ends 2 s after its function has begun, and the text takes 5 s.
const TIMEOUT_SECONDS: u64 = 4;
const PIECES: usize = 140;

async fn slow() -> (Harness, Hostile, String) {
    let text = pieces(PIECES).concat();
    let whole = text.clone();
    let hostile = Hostile::improvising("test", move |_, body| saying(&whole, body, Duration::from_millis(35))).await;
    let providers = providers(&hostile, &going_on());
    let options = Options { env: [("LONGHAND_PROVIDERS".to_owned(), providers)].into(), ..Options::default() };
    let registry: Registry = std::sync::Arc::new(longhand_functions::function);
    (Harness::over(start_stack(options, &template(), registry).await), hostile, text)
}

/// The template with short functions, except the one that goes on with the writing.
fn template() -> String {
    let (before, rest) = TEMPLATE.split_at(TEMPLATE.find("\n  StreamFunction:").unwrap());
    let (stream, behind) = rest.split_at(rest.find("\n  CompactFunction:").unwrap());
    let shorten = |text: &str| {
        assert_eq!(text.matches("Timeout: 900\n").count(), 1);
        text.replace("Timeout: 900\n", &format!("Timeout: {TIMEOUT_SECONDS}\n"))
    };
    [&shorten(before), stream, &shorten(behind)].concat()
}

fn create(extra: &Value) -> Value {
    let mut body = json!({ "model": "test/m", "input": "Hola" });
    body.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap());
    body
}

fn is_terminal(event: &Value) -> bool {
    ["response.completed", "response.failed", "response.incomplete"].iter().any(|kind| event["type"] == *kind)
}

/// The events of one connection, which are whole, and whether the connection broke.
async fn read(response: reqwest::Response) -> (Vec<Value>, bool) {
    let (mut body, mut text, mut is_broken) = (response.bytes_stream(), Vec::new(), false);
    while let Some(bytes) = body.next().await {
        match bytes {
            Ok(bytes) => text.extend_from_slice(&bytes),
            Err(_) => is_broken = true,
        }
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.is_empty() || text.ends_with("\n\n"), "half an event: {text}");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    (data.map(|data| serde_json::from_str(data).unwrap()).collect(), is_broken)
}

/// A client of that API takes a stream that ends well for a whole one.
#[tokio::test(flavor = "multi_thread")]
async fn followed_response_breaks_between_events_before_the_deadline() {
    let (harness, _hostile, text) = slow().await;
    let url = format!("{}/v1/responses", harness.stack.url());
    let body = create(&json!({ "background": true, "stream": true }));
    let first = harness.http.post(&url).json(&body).send().await.unwrap();
    let (mut events, mut is_broken) = read(first).await;
    let id = events[0]["response"]["id"].as_str().unwrap().to_owned();
    let mut connections = 1;
    while !events.last().is_some_and(is_terminal) {
        assert!(is_broken, "it ended without a terminal event");
        let after = events.last().and_then(|event| event["sequence_number"].as_u64()).unwrap();
        let again = harness.http.get(format!("{url}/{id}?stream=true&starting_after={after}")).send().await.unwrap();
        let (more, broke) = read(again).await;
        events.extend(more);
        is_broken = broke;
        connections += 1;
    }
    assert!(connections > 1 && !is_broken, "{connections} connections");
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    let read: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(read, text);
    harness.finish().await;
}

/// A retry of the client would begin another generation; the object has the id under which this one is read.
#[tokio::test(flavor = "multi_thread")]
async fn awaited_response_is_answered_as_it_is_before_the_deadline() {
    let (harness, _hostile, text) = slow().await;
    let url = format!("{}/v1/responses", harness.stack.url());
    let response = harness.http.post(&url).json(&create(&json!({}))).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let response: Value = response.json().await.unwrap();
    assert_eq!(response["status"], "in_progress", "{response}");
    let said = response["output"][0]["content"][0]["text"].as_str().unwrap();
    assert!(!said.is_empty() && text.starts_with(said), "{said}");
    let id = response["id"].as_str().unwrap();
    let record = tokio::time::timeout(PATIENCE, harness.ended(&id.replace("resp_", "gen_"))).await.unwrap();
    assert_eq!(record["status"], "completed", "{record}");
    let ended: Value = harness.http.get(format!("{url}/{id}")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&ended["status"], &ended["output"][0]["content"][0]["text"]), (&json!("completed"), &json!(text)));
    harness.finish().await;
}
