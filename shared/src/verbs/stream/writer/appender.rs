//! The writer's end of the log: what waits, when it leaves, and the append in flight.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::app::App;
use crate::aws::{Appended, ChunkItem, Meta, Packing};
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::limits;
use crate::log::chunk::{Chunk, Counters, LogState};
use crate::log::composer::Composer;
use crate::log::flush::FlushTimer;
use crate::log::waiting::OwnWaiting;
use crate::providers::Upstream;
use crate::retry::{Retryable, exponential};

/// A task that stores one chunk, and returns it with the result.
type Append = AbortOnDropHandle<(Chunk, Result<Appended, Error>)>;

/// Appends to one log: composes events from deltas and stores them, one chunk after the other, in the next slots.
pub(super) struct Appender {
    app: App,
    key: GenerationKey,
    /// Whose chunks these are: the attempt's writer id.
    writer: String,
    /// When they expire, epoch seconds.
    expires_at: i64,
    /// The log up to the newest chunk that was stored.
    pub log: LogState,
    pub composer: Composer,
    /// Where the provider's stream stands behind everything that was received, if the provider keeps the response.
    upstream: Option<Upstream>,
    timer: FlushTimer,
    in_flight: Option<Append>,
    waiting: OwnWaiting,
    received_bytes: u64,
    /// When the log's first text was received, until the chunk that holds it leaves.
    first_text_at_ms: Option<i64>,
    flushes: u64,
}

/// Running totals, over all attempts of this log's writers; flushes, over those of this one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    /// Deltas with text.
    pub deltas: u64,
    /// Bytes of text: stored, in flight and waiting.
    pub bytes: u64,
    /// Chunks that were stored.
    pub flushes: u64,
}

impl Appender {
    /// Continues `log` as the writer that holds `meta`.
    pub fn new(app: App, key: GenerationKey, log: LogState, meta: &Meta) -> Self {
        Self {
            writer: meta.writer.clone(),
            expires_at: meta.expires_at,
            upstream: log.upstream.clone(),
            composer: Composer::resume(log.outline.clone(), log.counters.received_chunks),
            timer: FlushTimer::new(app.config.windows, key.partition().len()),
            in_flight: None,
            waiting: app.waiting.own(),
            received_bytes: log.counters.stored_bytes,
            first_text_at_ms: None,
            flushes: 0,
            app,
            key,
            log,
        }
    }

    /// Writes under another id from now on. Nothing may be in flight.
    pub fn write_as(&mut self, meta: &Meta) {
        self.writer.clone_from(&meta.writer);
    }

    pub const fn upstream(&self) -> Option<&Upstream> {
        self.upstream.as_ref()
    }

    /// Notes how far a response that the provider keeps was received; `None`: the provider keeps none. The composer must have been given
    /// everything before that, by the time of the next flush.
    pub fn set_upstream(&mut self, upstream: Option<Upstream>) {
        self.timer.reserve(upstream.as_ref().map_or(0, upstream_bytes));
        self.upstream = upstream;
    }

    /// Counts text that the provider sent, before it is composed.
    pub fn count_received(&mut self, bytes: usize) {
        if self.received_bytes == 0 && bytes > 0 {
            self.first_text_at_ms = Some(self.app.clock.now_ms());
        }
        self.received_bytes += bytes as u64;
    }

    /// Starts the wait of what the composer holds.
    pub fn received(&mut self) {
        if self.composer.has_pending() {
            self.timer.received(self.app.clock.now_ms());
        }
    }

    pub const fn totals(&self) -> Totals {
        Totals { deltas: self.composer.received_chunks(), bytes: self.received_bytes, flushes: self.flushes }
    }

    /// Events that are stored, in flight or waiting.
    pub const fn events(&self) -> u64 {
        self.log.next_seq + self.composer.pending_events() as u64
    }

    /// Whether more may be read from the provider before something is stored.
    pub fn has_room(&mut self) -> bool {
        let bytes = self.composer.pending_bytes() + self.composer.pending_events() * limits::EVENT_OVERHEAD_BYTES;
        self.waiting.has_room(bytes)
    }

    pub const fn is_storing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Begins an append if one is due and none is in flight. Returns when to call it again if nothing else happens; `None`: only
    /// when something does.
    ///
    /// # Errors
    /// As for [`Self::flush`].
    pub fn flush_if_due(&mut self, watched_until_ms: i64) -> Result<Option<Duration>, Error> {
        if self.is_storing() {
            return Ok(None);
        }
        let turn = self.timer.turn(self.app.clock.now_ms(), self.composer.pending_bytes(), watched_until_ms);
        if turn.flushes {
            self.flush()?;
        }
        Ok(turn.sleep)
    }

    /// Begins to append the next chunk. Nothing may be in flight.
    ///
    /// # Errors
    /// [`Error::Aws`]: the chunk cannot be written as an item. No such chunk is known.
    pub fn flush(&mut self) -> Result<(), Error> {
        let chunk = self.next_chunk();
        let item = ChunkItem::new(&self.key, &chunk, self.expires_at)?;
        if let Some(Packing { plain_bytes, packed_bytes }) = item.packing {
            self.timer.packed(plain_bytes, packed_bytes);
        }
        self.in_flight = Some(self.append(chunk, item));
        Ok(())
    }

    fn next_chunk(&mut self) -> Chunk {
        let now_ms = self.app.clock.now_ms();
        let events = self.composer.take(limits::CHUNK_TEXT_BYTES_MAX);
        self.timer.flushed(now_ms, self.composer.has_pending());
        let text_bytes: u64 = events.iter().map(|event| event.text_bytes() as u64).sum();
        let counters = Counters {
            received_chunks: self.composer.received_chunks(),
            stored_bytes: self.log.counters.stored_bytes + text_bytes,
            chunk_count: self.log.counters.chunk_count + 1,
        };
        let first_text_at_ms = self.first_text_at_ms.take_if(|_| text_bytes > 0);
        let mut upstream = self.upstream.clone();
        if let Some(upstream) = upstream.as_mut().filter(|_| self.composer.has_pending()) {
            // The chunk ends within what one read of the provider brought.
            upstream.cursor = None;
        }
        Chunk {
            first_seq: self.log.next_seq,
            writer: self.writer.clone(),
            at_ms: now_ms,
            first_text_at_ms,
            counters,
            output_from: self.log.output_from,
            upstream,
            events,
        }
    }

    /// Stores a chunk, and retries for [`limits::STORE_PATIENCE`]: the text is in memory only.
    fn append(&self, chunk: Chunk, item: ChunkItem) -> Append {
        let buffer = self.app.buffer.clone();
        let patient_until = Instant::now() + limits::STORE_PATIENCE;
        let appends = async move {
            let try_once = || buffer.append_item(&item);
            let appended = try_once
                .retry(exponential(limits::STORE_BACKOFF, limits::STORE_BACKOFF_MAX, usize::MAX))
                .adjust(|_, wait| wait.filter(|wait| Instant::now() + *wait <= patient_until))
                .notify(|error, wait| {
                    let wait_ms = wait.as_millis();
                    tracing::warn!(slot = chunk.first_seq, wait_ms, %error, "A chunk was not stored; the append is retried.");
                })
                .await;
            (chunk, appended)
        };
        AbortOnDropHandle::new(tokio::spawn(appends.in_current_span()))
    }

    /// Waits for the append in flight, or forever if there is none. Returns when its chunk was written, in milliseconds; `None`:
    /// another writer holds the slot. May be dropped and called again.
    pub async fn stored(&mut self) -> Result<Option<i64>, Error> {
        let Some(append) = &mut self.in_flight else { return std::future::pending().await };
        let joined = append.await;
        self.in_flight = None;
        let (chunk, appended) = joined.map_err(|gone| Error::Internal(format!("the task that stored a chunk failed: {gone}")))?;
        if appended? == Appended::Lost {
            tracing::warn!(slot = chunk.first_seq, "Another writer holds the slot; this one stops.");
            return Ok(None);
        }
        self.log.apply(&chunk).map_err(|damage| Error::LogDamaged(self.key.generation.to_string(), damage))?;
        self.flushes += 1;
        self.timer.stored(self.app.clock.now_ms());
        self.app.hints.feeds.stored(&self.key, &chunk);
        Ok(Some(chunk.at_ms))
    }
}

/// Bytes that the position takes in a chunk's item: names, types and values.
fn upstream_bytes(upstream: &Upstream) -> usize {
    const NAMES_AND_TYPES: usize = "upstream".len() + "id".len() + "cursor".len() + 5;
    const CURSOR_BYTES_MAX: usize = 11;
    NAMES_AND_TYPES + upstream.id.len() + CURSOR_BYTES_MAX
}
