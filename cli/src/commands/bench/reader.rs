//! Readers that know when what they read was sent.

use std::time::Instant;

use futures::StreamExt as _;
use longhand_local::playback::now_micros;
use reqwest::Response;
use sse_stream::SseByteStream;

use crate::api::Event;

/// What a reader saw: for each delta, how long it was under way, in microseconds.
#[derive(Debug, Default)]
pub struct Seen {
    pub under_way: Vec<u64>,
    /// Bytes of the answer's data.
    pub bytes: usize,
    pub ended: Option<Instant>,
}

impl Seen {
    fn text(&mut self, text: &str) {
        let now = now_micros();
        self.under_way
            .extend(text.split_whitespace().filter_map(|stamp| stamp.parse().ok()).map(|sent| now.saturating_sub(sent)));
    }
}

/// Reads a generation's events to the end.
pub async fn read_events(response: Response) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut frames = SseByteStream::new(response.bytes_stream());
    while let Some(frame) = frames.next().await {
        let Some(data) = frame?.data else { continue };
        seen.bytes += data.len();
        let event: Event = serde_json::from_str(&data)?;
        seen.text(&event.delta);
    }
    seen.ended = Some(Instant::now());
    Ok(seen)
}

/// Reads a provider's stream to the end.
pub async fn read_provider(response: Response) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut frames = SseByteStream::new(response.bytes_stream());
    while let Some(frame) = frames.next().await {
        let Some(data) = frame?.data.filter(|data| data != "[DONE]") else { continue };
        let chunk: serde_json::Value = serde_json::from_str(&data)?;
        seen.text(chunk.pointer("/choices/0/delta/content").and_then(|text| text.as_str()).unwrap_or_default());
    }
    Ok(seen)
}
