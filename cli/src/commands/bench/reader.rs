//! Readers that measure how long each delta took to reach them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use futures::future::try_join_all;
use longhand_client::{Client, Response, frames};
use longhand_local::playback::{now_micros, times};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{request, start};

/// Failures of one reader, after which it gives up.
const FAILURES_MAX: u64 = 100;
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// What is read, by so many readers at once.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Reading {
    /// The provider's base URL, or the API's.
    pub url: String,
    pub source: Source,
    pub readers: usize,
    pub deltas: usize,
    pub delta_bytes: usize,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Source {
    /// A provider.
    Provider,
    /// The events of generations that are started for it.
    Events,
    /// The answers of starts with `stream: true`.
    Start,
    /// The same events over as many responses as it takes, for text that outlasts one.
    Follow,
}

/// What the readers measured.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Readings {
    /// For each reader, the microseconds since each stamped delta was sent.
    pub latencies: Vec<Vec<u64>>,
    /// From the first request to the last byte.
    pub micros: u64,
    /// Responses that broke off, or were errors.
    pub failures: u64,
    /// CPU seconds of the readers' own process; 0 where they run in this one.
    pub cpu_seconds: f64,
}

/// What one reader measured.
#[derive(Default)]
struct Seen {
    latencies: Vec<u64>,
    bytes: usize,
    failures: u64,
    ended_micros: u64,
}

/// The part of an event that is measured. Parsing no more keeps the reader's own share of the CPU small.
#[derive(Deserialize)]
struct Measured {
    #[serde(default)]
    delta: String,
}

/// Reads to the end of every stream.
///
/// # Errors
/// A stream fails, or has lost a delta.
pub async fn read(reading: &Reading) -> anyhow::Result<Readings> {
    let began = now_micros();
    let seen = try_join_all((0..reading.readers).map(|_| read_one(reading))).await?;
    let micros = seen.iter().map(|seen| seen.ended_micros).max().context("no reader")?.saturating_sub(began);
    let failures = seen.iter().map(|seen| seen.failures).sum();
    Ok(Readings { latencies: seen.into_iter().map(|seen| seen.latencies).collect(), micros, failures, cpu_seconds: 0.0 })
}

async fn read_one(reading: &Reading) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let Reading { url, source, deltas, delta_bytes, .. } = reading;
    match source {
        Source::Provider => read_frames(call_provider(url).await?, content, reading, &mut seen).await?,
        Source::Events => {
            let client = Client::new(url)?;
            let id = start(&client).await?;
            let response = client.open_events(&id, None).await?.context("the log has ended already")?;
            read_frames(response, text_of_event, reading, &mut seen).await?;
        }
        Source::Start => {
            let mut request = request();
            request["stream"] = true.into();
            let response = Client::new(url)?.start_attached(&request).await?;
            read_frames(response, text_of_event, reading, &mut seen).await?;
        }
        Source::Follow => follow(reading, &mut seen).await?,
    }
    seen.ended_micros = now_micros();
    let bytes = deltas * delta_bytes;
    ensure!(seen.bytes == bytes, "deltas were lost: {} bytes of text in place of {bytes}", seen.bytes);
    Ok(seen)
}

impl Seen {
    fn text(&mut self, text: &str, delta_bytes: usize) {
        let now = now_micros();
        self.bytes += text.len();
        self.latencies.extend(times(text, delta_bytes, now).map(|sent| now.saturating_sub(sent)));
    }
}

async fn follow(reading: &Reading, seen: &mut Seen) -> anyhow::Result<()> {
    let client = Client::new(&reading.url)?;
    let id = start(&client).await?;
    let mut events = client.follow(&id, None);
    loop {
        match events.next().await {
            Ok(None) => return Ok(()),
            Ok(Some(event)) => {
                let text = event.event.stretch().map(|(_, stretch)| stretch.delta.as_str());
                seen.text(text.unwrap_or_default(), reading.delta_bytes);
            }
            Err(_) if seen.failures < FAILURES_MAX => {
                seen.failures += 1;
                sleep(FAILURE_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads one response, each of whose frames has the text that `text_of` tells.
async fn read_frames(
    response: Response,
    text_of: fn(&str) -> anyhow::Result<String>,
    reading: &Reading,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let mut frames = frames(response);
    while let Some(frame) = frames.next().await {
        let Some(data) = frame?.data.filter(|data| data != "[DONE]") else { continue };
        seen.text(&text_of(&data)?, reading.delta_bytes);
    }
    Ok(())
}

/// The text of an event.
fn text_of_event(data: &str) -> anyhow::Result<String> {
    Ok(serde_json::from_str::<Measured>(data)?.delta)
}

/// Calls a provider for a stream.
///
/// # Errors
/// It cannot be reached.
pub async fn call_provider(base_url: &str) -> anyhow::Result<Response> {
    let body = json!({ "model": "m", "stream": true, "messages": [] });
    let http = reqwest::Client::builder().no_proxy().build()?;
    Ok(http.post(format!("{base_url}/chat/completions")).json(&body).send().await?)
}

/// The text of a provider's chunk.
pub fn content(data: &str) -> anyhow::Result<String> {
    let chunk: Value = serde_json::from_str(data)?;
    Ok(chunk.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default().to_owned())
}
