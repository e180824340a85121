//! Plays the script to one request.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures::Stream;
use serde_json::Value;
use sha2::Digest as _;
use tokio::time::{Instant, sleep_until};

use super::stamp::{now_micros, stamped};
use super::wire::Dialect;
use super::{Ending, Script, Shared, Usage};

/// Events that are due together are written together up to about this size.
const WRITE_BYTES: usize = 16 * 1024;
const PROMPT_BYTES_PER_TOKEN: usize = 4;

/// The response to one request. If it is dropped before its end, it counts as closed early.
pub struct Play {
    shared: Arc<Shared>,
    script: Arc<Script>,
    dialect: Dialect,
    number: u64,
    usage: Usage,
    began: Option<Instant>,
    next: usize,
    over: bool,
}

/// The tokens of a request to which a script is played: one for four bytes of its messages, and one for each delta.
pub fn counted(request: &Value, script: &Script) -> Usage {
    let prompt = request.get("messages").map_or(0, |messages| messages.to_string().len());
    Usage { prompt_tokens: (prompt / PROMPT_BYTES_PER_TOKEN) as u64, completion_tokens: script.deltas.len() as u64 }
}

impl Play {
    pub fn new(shared: Arc<Shared>, script: Arc<Script>, number: u64, request: &Value) -> Self {
        let dialect = Dialect::new(request, number, &script.model);
        let usage = script.usage.unwrap_or_else(|| counted(request, &script));
        Self { shared, script, dialect, number, usage, began: None, next: 0, over: false }
    }

    /// The response body. It breaks off when the provider is dropped.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        futures::stream::unfold(self, |mut play| async move {
            let closing = play.shared.closing.clone();
            let bytes = tokio::select! {
                bytes = play.advance() => bytes.map(Ok),
                () = closing.cancelled() => Some(Err(io::Error::other("the playback provider was stopped"))),
            };
            bytes.map(|bytes| (bytes, play))
        })
    }

    async fn advance(&mut self) -> Option<Bytes> {
        let Some(began) = self.began else {
            self.began = Some(Instant::now());
            return Some(self.dialect.role().into());
        };
        if self.over {
            return None;
        }
        if self.next < self.script.deltas.len() {
            sleep_until(began + self.due(self.next)).await;
            return Some(self.due_by(began.elapsed()));
        }
        let script = &self.script;
        match script.ending {
            Ending::Stall => pending().await,
            Ending::Cut => {
                self.over = true;
                None
            }
            Ending::Finish => {
                self.over = true;
                Some(self.dialect.ending(&script.finish_reason, self.usage).into())
            }
        }
    }

    /// When a delta is due, counted from the first. Due times are absolute, so that late wake-ups do not accumulate.
    fn due(&self, index: usize) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a play has far fewer than 2^52 deltas")]
        let seconds = index as f64 / self.script.tempo;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
    }

    /// The events of all deltas that are due, and at least the next one.
    fn due_by(&mut self, elapsed: Duration) -> Bytes {
        let script = Arc::clone(&self.script);
        let deltas = &script.deltas;
        let first = self.next;
        let mut events = String::new();
        let mut stamps = Vec::new();
        while self.next < deltas.len() && events.len() < WRITE_BYTES && (self.next == first || self.due(self.next) <= elapsed) {
            if script.stamped {
                stamps.push(stamped(&deltas[self.next], now_micros()));
            }
            events += &self.dialect.content(stamps.last().unwrap_or(&deltas[self.next]));
            self.next += 1;
        }
        self.record(if script.stamped { &stamps } else { &deltas[first..self.next] });
        events.into()
    }

    fn record(&self, sent: &[String]) {
        let mut ledger = self.shared.ledger();
        ledger.stats.deltas += sent.iter().filter(|delta| !delta.is_empty()).count() as u64;
        ledger.stats.bytes += sent.iter().map(|delta| delta.len() as u64).sum::<u64>();
        if ledger.stats.requests == self.number {
            for delta in sent {
                ledger.latest_text.update(delta);
            }
        }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        if !self.over {
            self.shared.ledger().stats.closed_early += 1;
        }
    }
}
