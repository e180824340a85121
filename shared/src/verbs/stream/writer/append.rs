//! Chunks on their way to the log: when one leaves, how it is put into its slot, and what became of it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::Writer;
use crate::aws::Appended;
use crate::clock::backoff;
use crate::error::Error;
use crate::hints::Topic;
use crate::limits;
use crate::log::chunk::{Chunk, Counters};
use crate::log::flush::{Decision, Waiting, decide};

/// A chunk that is being stored.
pub(super) type Append = AbortOnDropHandle<Result<Appended, Error>>;

impl Writer {
    fn decide(&self) -> Decision {
        let now = self.app.clock.now_ms();
        let waiting = self.waiting_since_ms.map(|since_ms| Waiting { bytes: self.composer.pending_bytes(), since_ms });
        let watched = self.lease.view().watched_until > now;
        decide(now, waiting, self.last_flush_ms, watched, self.app.config.windows, self.fill_bytes)
    }

    pub(super) fn wake_at(&self, give_up_at: Instant, stop_at: Option<Instant>) -> Instant {
        let last = stop_at.map_or(give_up_at, |stop_at| stop_at.min(give_up_at));
        match self.decide() {
            Decision::WaitUntil(due) => {
                let wait = (due - self.app.clock.now_ms()).max(0).cast_unsigned();
                last.min(Instant::now() + Duration::from_millis(wait))
            }
            Decision::Idle | Decision::Flush => last,
        }
    }

    pub(super) fn flush_if_due(&mut self) -> Option<(Append, Chunk)> {
        (self.decide() == Decision::Flush).then(|| self.next_chunk()).map(|chunk| (self.append(chunk.clone()), chunk))
    }

    fn next_chunk(&mut self) -> Chunk {
        let now = self.app.clock.now_ms();
        let events = self.composer.take(limits::CHUNK_TEXT_BYTES_MAX);
        self.last_flush_ms = Some(now);
        if !self.composer.has_pending() {
            self.waiting_since_ms = None;
        }
        let text_bytes: u64 = events.iter().map(|event| event.text_bytes() as u64).sum();
        let counters = Counters {
            received_chunks: self.composer.received_chunks(),
            received_bytes: self.log.counters.received_bytes + text_bytes,
            chunk_count: self.log.counters.chunk_count + 1,
        };
        let (writer, output_from) = (self.meta.writer.clone(), self.log.output_from);
        Chunk { first_seq: self.log.next_seq, writer, at_ms: now, counters, output_from, events }
    }

    /// Stores a chunk, again and again for as long as the table is not well: what has been received lies in memory only.
    fn append(&self, chunk: Chunk) -> Append {
        let (app, key, expires_at) = (self.app.clone(), self.key.clone(), self.meta.expires_at);
        let patient_until = Instant::now() + limits::STORE_PATIENCE;
        let appends = async move {
            let mut tries = 0;
            loop {
                let error = match app.buffer.append(&key, &chunk, expires_at).await {
                    Ok(appended) => return Ok(appended),
                    Err(error) => error,
                };
                tries += 1;
                let wait = backoff(limits::STORE_BACKOFF, limits::STORE_BACKOFF_MAX, tries);
                if Instant::now() + wait > patient_until {
                    return Err(error);
                }
                tracing::warn!(slot = chunk.first_seq, tries, %error, "A chunk was not stored; it is tried again.");
                sleep(wait).await;
            }
        };
        AbortOnDropHandle::new(tokio::spawn(appends.in_current_span()))
    }

    /// Notes what became of an append; `false`: the slot is lost.
    pub(super) fn stored(&mut self, appended: Appended, chunk: Option<&Chunk>) -> Result<bool, Error> {
        if appended == Appended::Lost {
            tracing::warn!(slot = self.log.next_seq, "Another writer holds the slot; this one stops.");
            return Ok(false);
        }
        if let Some(chunk) = chunk {
            self.log.apply(chunk).map_err(|damage| Error::LogDamaged(self.key.generation.to_string(), damage))?;
            self.measure.flushed();
            self.lease.stored(chunk.at_ms);
            self.app.hints.tell(&self.key, Topic::Log);
        }
        Ok(true)
    }

    /// Stores everything that waits; `false`: a slot was lost.
    pub(super) async fn flush_all(&mut self) -> Result<bool, Error> {
        while self.composer.has_pending() {
            let chunk = self.next_chunk();
            let mut in_flight = Some((self.append(chunk.clone()), chunk));
            let appended = appended(&mut in_flight).await?;
            if !self.stored(appended, in_flight.as_ref().map(|(_, chunk)| chunk))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

pub(super) async fn appended(in_flight: &mut Option<(Append, Chunk)>) -> Result<Appended, Error> {
    match in_flight {
        Some((append, _)) => {
            append.await.unwrap_or_else(|gone| Err(Error::Aws { operation: "dynamodb PutItem", message: gone.to_string() }))
        }
        None => std::future::pending().await,
    }
}
