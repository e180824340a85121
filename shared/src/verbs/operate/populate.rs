//! `populate`: writes the log of a compacted generation into the buffer again.

use serde::Serialize;

use crate::app::App;
use crate::aws::{Appended, Meta, Outcome};
use crate::error::Error;
use crate::ids::{GenerationId, GenerationKey};
use crate::limits::CHUNK_TEXT_BYTES_MAX;
use crate::log::chunk::{Chunk, Counters, LogState};
use crate::log::composer::{CHUNK_EVENTS_MAX, bytes_in_chunk};
use crate::log::event::Event;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Populated {
    /// The generation.
    pub id: GenerationId,
    /// Its events.
    pub events: u64,
    /// The chunks that hold them.
    pub chunk_count: u64,
}

impl App {
    /// Writes the event log of the bucket into the buffer, in place of what is there, so that it can be inspected, and deleted by
    /// `compact --delete`. The chunks are as large as they may be, and expire like those of a new generation. Meta and the record
    /// stay as they are, and readers keep to the bucket.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotEnded`] before it is compacted; [`Error::LogGone`]: nothing was compacted; [`Error::Refused`]:
    /// the request says `delete_after`, so `compact` would delete the buffer at once; [`Error::Contended`]: another populate ran
    /// beside this one; [`Error::Aws`].
    pub async fn populate(&self, key: &GenerationKey) -> Result<Populated, Error> {
        let record = self.records.get(key).await?;
        let outcome = record.outcome.ok_or_else(|| Error::NotEnded(key.generation.to_string(), "its log is in the buffer"))?;
        if self.request(key).await?.is_some_and(|request| request.delete_after) {
            let message =
                format!("the request of generation {} says `delete_after`: its buffer is deleted at once", key.generation);
            return Err(Error::refused(message, None, None));
        }
        let mut archive = self.open_archive(key, &outcome, 0).await?;
        let meta = self.buffer.meta(key).await?;
        self.buffer.delete(key).await?;
        let (mut log, expires_at) = (LogState::default(), self.buffer_expiry(None));
        if let Some(meta) = meta {
            self.buffer.claim(key, None, &Meta { expires_at, ..meta }).await?;
        }
        let (mut events, mut bytes) = (Vec::new(), 0);
        loop {
            let page = archive.page(0).await?;
            let is_last = page.is_empty();
            for event in page.into_iter().map(|numbered| numbered.event) {
                let more = bytes_in_chunk(&event);
                // No text comes before an attempt's event in its chunk.
                let begins_attempt = bytes > 0 && matches!(event, Event::InProgress { .. });
                if begins_attempt || events.len() == CHUNK_EVENTS_MAX || bytes + more > CHUNK_TEXT_BYTES_MAX {
                    self.put_back(key, &mut log, std::mem::take(&mut events), &outcome, expires_at).await?;
                    bytes = 0;
                }
                bytes += more;
                events.push(event);
            }
            if is_last {
                break;
            }
        }
        if !events.is_empty() {
            self.put_back(key, &mut log, events, &outcome, expires_at).await?;
        }
        Ok(Populated { id: key.generation.clone(), events: log.next_seq, chunk_count: log.counters.chunk_count })
    }

    async fn put_back(
        &self,
        key: &GenerationKey,
        log: &mut LogState,
        events: Vec<Event>,
        outcome: &Outcome,
        expires_at: i64,
    ) -> Result<(), Error> {
        let chunk = next_chunk(log, events, outcome.received_chunks, self.clock.now_ms());
        log.apply(&chunk).map_err(|damage| Error::LogDamaged(key.generation.to_string(), damage))?;
        match self.buffer.append(key, &chunk, expires_at).await? {
            Appended::Stored => Ok(()),
            Appended::Lost => Err(Error::Contended(key.generation.to_string())),
        }
    }
}

/// The next chunk of `log`. A stored delta is one or several that were received, so only the last chunk has their exact count.
fn next_chunk(log: &LogState, events: Vec<Event>, received_chunks: u64, now_ms: i64) -> Chunk {
    let (mut outline, mut output_from) = (log.outline.clone(), log.output_from);
    for event in &events {
        if matches!(event, Event::InProgress { .. }) && !outline.is_continued() {
            output_from = outline.next_output_index();
        }
        outline.apply(event);
    }
    let deltas = events.iter().filter(|event| event.text_bytes() > 0).count() as u64;
    let is_last = events.last().is_some_and(|event| event.end().is_some());
    let counters = Counters {
        received_chunks: if is_last { received_chunks } else { log.counters.received_chunks + deltas },
        stored_bytes: log.counters.stored_bytes + events.iter().map(|event| event.text_bytes() as u64).sum::<u64>(),
        chunk_count: log.counters.chunk_count + 1,
    };
    let writer = "populate".to_owned();
    Chunk {
        first_seq: log.next_seq,
        writer,
        at_ms: now_ms,
        first_text_at_ms: None,
        counters,
        output_from,
        upstream: None,
        events,
    }
}
