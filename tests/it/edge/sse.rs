//! Server-sent events on the wire: headers, and the fields of each event in their order.

use longhand_local::Script;
use longhand_tests::Harness;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

/// The names of the fields of each event, and the data.
async fn frames(request: RequestBuilder, content_type: &str) -> Vec<(Vec<String>, Value)> {
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("content-type"), Some(content_type));
    assert_eq!(header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("content-length"), None);
    let text = response.text().await.unwrap();
    let frame = |frame: &str| {
        let fields: Vec<(&str, &str)> = frame.lines().filter_map(|line| line.split_once(':')).collect();
        let names = fields.iter().map(|(name, _)| (*name).to_owned()).collect();
        let (_, data) = fields.iter().find(|(name, _)| *name == "data").unwrap();
        (names, serde_json::from_str(data).unwrap())
    };
    text.split_terminator("\n\n").filter(|frame| !frame.starts_with(':')).map(frame).collect()
}

async fn ended() -> (Harness, String) {
    let (harness, _playback) = Harness::playing(Script::new(["uno ", "dos"]), &[]).await;
    let body = json!({ "model": "test/m", "input": "Hola", "background": true, "stream": true });
    let response = harness.http.post(format!("{}/v1/responses", harness.stack.url())).json(&body).send().await.unwrap();
    let text = response.text().await.unwrap();
    let id = text.split("\"id\":\"resp_").nth(1).unwrap()[..26].to_owned();
    harness.ended(&format!("gen_{id}")).await;
    (harness, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn event_of_a_generation_has_its_id_behind_its_data() {
    let (harness, id) = ended().await;
    let url = harness.events_url(&format!("gen_{id}"));
    let frames = frames(harness.http.get(url).header("accept", "text/event-stream"), "text/event-stream; charset=utf-8").await;
    assert!(frames.len() > 5, "{frames:?}");
    assert!(frames.iter().all(|(names, _)| names == &["event", "data", "id"]), "{frames:?}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_of_a_response_has_no_id() {
    let (harness, id) = ended().await;
    let url = format!("{}/v1/responses/resp_{id}?stream=true", harness.stack.url());
    let frames = frames(harness.http.get(url), "text/event-stream; charset=utf-8").await;
    assert!(frames.len() > 5, "{frames:?}");
    assert!(frames.iter().all(|(names, _)| names == &["event", "data"]), "{frames:?}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_of_a_durable_stream_has_no_id() {
    let (harness, id) = ended().await;
    let url = format!("{}/v1/stream/generations/gen_{id}?offset=-1&live=sse", harness.stack.url());
    let frames = frames(harness.http.get(url), "text/event-stream").await;
    assert!(frames.iter().all(|(names, _)| names == &["event", "data"]), "{frames:?}");
    assert_eq!(frames.last().unwrap().1["streamClosed"], true);
    harness.finish().await;
}
