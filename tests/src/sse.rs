//! A reader of server-sent events, as simple as a client can be: it keeps what it has seen, and comes back for the rest.

use futures::StreamExt;
use reqwest::{Client, Response};
use serde_json::Value;

/// Reads `url` from behind event `after` until `enough` says so of the events so far, or the stream ends. `true`: it ended.
pub async fn read(http: &Client, url: &str, after: Option<u64>, mut enough: impl FnMut(&[Value]) -> bool) -> (Vec<Value>, bool) {
    let mut request = http.get(url).header("accept", "text/event-stream");
    if let Some(after) = after {
        request = request.header("last-event-id", after.to_string());
    }
    let response = request.send().await.expect("an answer");
    assert!(response.status().is_success(), "{}", response.status());
    read_response(response, &mut enough).await
}

/// The same, of an answer that has begun.
pub async fn read_response(response: Response, enough: &mut impl FnMut(&[Value]) -> bool) -> (Vec<Value>, bool) {
    let (mut events, mut held) = (Vec::new(), Vec::new());
    let mut body = response.bytes_stream();
    while let Some(Ok(bytes)) = body.next().await {
        held.extend_from_slice(&bytes);
        while let Some(end) = held.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = held.drain(..end + 2).collect();
            events.extend(event(&frame));
            if enough(&events) {
                return (events, false);
            }
        }
    }
    (events, true)
}

fn event(frame: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(frame).expect("UTF-8");
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let data: Value = serde_json::from_str(line("data:")?).expect("JSON");
    assert_eq!(line("id:"), Some(data["seq"].to_string().as_str()));
    assert_eq!(line("event:"), data["type"].as_str());
    Some(data)
}
