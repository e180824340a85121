//! Readers that measure how long each delta took to reach them.

use std::time::Instant;

use futures::StreamExt as _;
use longhand_client::{Response, frames};
use longhand_local::playback::now_micros;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a reader measured.
#[derive(Debug, Default)]
pub struct Seen {
    /// For each stamped delta, the microseconds since it was sent.
    pub latencies: Vec<u64>,
    /// When the stream ended.
    pub ended: Option<Instant>,
}

/// The part of an event that is measured. Parsing no more keeps the reader's own share of the CPU small.
#[derive(Deserialize)]
struct Measured {
    #[serde(default)]
    delta: String,
}

impl Seen {
    fn text(&mut self, text: &str) {
        let now = now_micros();
        self.latencies
            .extend(text.split_whitespace().filter_map(|stamp| stamp.parse().ok()).map(|sent| now.saturating_sub(sent)));
    }
}

/// Reads a generation's events to the end.
pub async fn read_events(response: Response) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut frames = frames(response);
    while let Some(frame) = frames.next().await {
        let Some(data) = frame?.data else { continue };
        seen.text(&serde_json::from_str::<Measured>(&data)?.delta);
    }
    seen.ended = Some(Instant::now());
    Ok(seen)
}

/// Calls a provider, and reads its stream to the end.
pub async fn read_directly(base_url: &str) -> anyhow::Result<Seen> {
    let body = json!({ "model": "m", "stream": true, "messages": [] });
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut seen = Seen::default();
    let mut frames = frames(http.post(format!("{base_url}/chat/completions")).json(&body).send().await?);
    while let Some(frame) = frames.next().await {
        let Some(data) = frame?.data.filter(|data| data != "[DONE]") else { continue };
        let chunk: Value = serde_json::from_str(&data)?;
        seen.text(chunk.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default());
    }
    seen.ended = Some(Instant::now());
    Ok(seen)
}
