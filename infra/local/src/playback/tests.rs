//! The provider as a client sees it.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;

async fn request(playback: &Playback, body: Value) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/chat/completions", playback.base_url());
    client.post(url).bearer_auth("secret").json(&body).send().await.unwrap()
}

fn events(body: &str) -> Vec<&str> {
    body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect()
}

fn text(events: &[&str]) -> String {
    let chunks = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    chunks.filter_map(|chunk| Some(chunk.pointer("/choices/0/delta/content")?.as_str()?.to_owned())).collect()
}

fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

/// Waits until `counted` holds; the server learns of a closed connection a moment after the client.
async fn eventually(playback: &Playback, counted: impl Fn(&Stats) -> bool) -> Stats {
    for _ in 0..500 {
        if counted(&playback.stats()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    playback.stats()
}

#[tokio::test]
async fn recording_arrives_unchanged_and_is_counted() {
    let script = Script::recorded().unwrap();
    let whole = script.text();
    let filled = script.deltas.iter().filter(|delta| !delta.is_empty()).count() as u64;
    let playback = Playback::start(script).unwrap();
    let body = request(&playback, json!({"model": "m", "stream": true})).await.text().await.unwrap();

    assert_eq!(text(&events(&body)), whole);
    let stats = playback.stats();
    assert_eq!((stats.requests, stats.closed_early), (1, 0));
    assert_eq!((stats.deltas, stats.bytes), (filled, whole.len() as u64));
    assert_eq!(stats.sent_sha256, sha256(&whole));
    assert_eq!(stats.last_request, Some(json!({"model": "m", "stream": true})));
    assert_eq!(stats.last_authorization.as_deref(), Some("Bearer secret"));
}

#[tokio::test]
async fn chunks_match_the_dialect() {
    let playback = Playback::start(Script::new(["0", "", "ñ"])).unwrap();
    let streamed = json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}});
    let body = request(&playback, streamed).await.text().await.unwrap();
    let events = events(&body);
    let chunks: Vec<Value> = events[..6].iter().map(|event| serde_json::from_str(event).unwrap()).collect();

    let deltas: Vec<&Value> = chunks[..5].iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    let role = json!({"role": "assistant", "content": ""});
    assert_eq!(deltas, [&role, &json!({"content": "0"}), &json!({"content": ""}), &json!({"content": "ñ"}), &json!({})]);
    assert!(chunks[..4].iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null() && chunk["usage"].is_null()));
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[5]["choices"], json!([]));
    assert_eq!(chunks[5]["usage"], json!({"prompt_tokens": 0, "completion_tokens": 3, "total_tokens": 3}));
    assert_eq!(events[6..], ["[DONE]"]);
}

#[tokio::test]
async fn usage_is_sent_on_request() {
    let playback = Playback::start(Script::new(["a"])).unwrap();
    let body = request(&playback, json!({"stream": true})).await.text().await.unwrap();
    assert!(!body.contains("usage"));
}

#[tokio::test]
async fn tempo_delivers_the_same_text() {
    let playback = Playback::start(Script { tempo: 2_000.0, ..Script::new(vec!["¿qué?"; 100]) }).unwrap();
    let body = request(&playback, json!({"stream": true})).await.text().await.unwrap();
    assert_eq!(text(&events(&body)), "¿qué?".repeat(100));
}

#[tokio::test]
async fn disconnect_stops_the_response() {
    let playback = Playback::start(Script { tempo: 1_000.0, ..Script::new(vec!["x"; 100_000]) }).unwrap();
    let mut response = request(&playback, json!({"stream": true})).await;
    response.chunk().await.unwrap();
    drop(response);

    let stats = eventually(&playback, |stats| stats.closed_early == 1).await;
    assert_eq!((stats.requests, stats.closed_early), (1, 1));
    assert!(stats.deltas < 100_000);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(playback.stats().deltas, stats.deltas);
}

#[tokio::test]
async fn disconnect_from_stalled_provider_is_counted() {
    let script = Script { ending: Ending::Stall, ..Script::new(["x"]) };
    let playback = Playback::start(script).unwrap();
    let mut response = request(&playback, json!({"stream": true})).await;
    response.chunk().await.unwrap();
    drop(response);
    assert_eq!(eventually(&playback, |stats| stats.closed_early == 1).await.closed_early, 1);
}

#[tokio::test]
async fn cut_ends_without_finish_reason() {
    let playback = Playback::start(Script { ending: Ending::Cut, ..Script::new(["x"]) }).unwrap();
    let body = request(&playback, json!({"stream": true})).await.text().await.unwrap();
    assert_eq!(events(&body).len(), 2);
    assert_eq!(playback.stats().closed_early, 0);
}

#[tokio::test]
async fn drop_breaks_the_stream() {
    let playback = Playback::start(Script { ending: Ending::Stall, ..Script::new(["x"]) }).unwrap();
    let response = request(&playback, json!({"stream": true})).await;
    drop(playback);
    assert!(response.text().await.is_err());
}

#[tokio::test]
async fn non_stream_request_is_rejected() {
    let playback = Playback::start(Script::new(["x"])).unwrap();
    let response = request(&playback, json!({"stream": false})).await;
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["message"], "only streams are supported: expected \"stream\": true");
    assert_eq!(playback.stats().requests, 0);
}

#[test]
fn recording_is_json_in_small_deltas() {
    let script = Script::recorded().unwrap();
    let scenario: Value = serde_json::from_str(&script.text()).unwrap();
    assert_eq!(scenario["confidence_score"], json!(0.78));
    assert!(scenario["capabilities"][0]["competencies"][0]["skills"].is_array());
    assert!((2_900..3_300).contains(&script.deltas.len()));
    assert!(script.deltas.iter().all(|delta| delta.len() <= 12));
    assert!(script.deltas.iter().any(|delta| delta == "0") && script.deltas.iter().any(String::is_empty));
}

#[test]
fn invalid_line_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"\"Hola\"\n\n{\"delta\": 1}\n").unwrap();
    let error = Script::from_jsonl(file.path()).unwrap_err().to_string();
    assert!(error.contains(", line 3: expected one JSON string"), "{error}");
}

#[test]
fn invalid_utf8_line_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"\"Hola\"\n\"\xff\"\n").unwrap();
    let error = Script::from_jsonl(file.path()).unwrap_err().to_string();
    assert!(error.ends_with(", line 2: expected UTF-8 text"), "{error}");
}

#[test]
fn file_without_deltas_is_rejected() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Script::from_jsonl(file.path()).unwrap_err().to_string();
    assert!(error.contains("expected at least one line"), "{error}");
    assert!(Script::from_jsonl("no/such.jsonl").unwrap_err().to_string().contains("cannot read the deltas of no/such.jsonl"));
}
