//! `inspect`: the log as it is stored in the buffer, for operators.

use serde::Serialize;

use crate::app::App;
use crate::aws::Meta;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::generation::{Generation, Status};
use crate::ids::GenerationKey;
use crate::log::chunk::Chunk;

/// A generation's log, slot by slot, without its text.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The generation as callers see it.
    pub record: Generation,
    /// Attempt, lease and readers; `None` before the first attempt and once it has expired.
    pub meta: Option<Meta>,
    /// Every slot; empty once the buffer has expired.
    pub slots: Vec<Slot>,
}

/// One chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// The number of its first event.
    pub seq: u64,
    /// Events in it.
    pub events: usize,
    /// Bytes of text in it.
    pub bytes: u64,
    /// Its writer.
    pub writer: String,
    /// When it was written, RFC 3339.
    pub at: String,
    /// Deltas received up to this slot.
    pub received_chunks: u64,
    /// Bytes of text up to this slot.
    pub received_bytes: u64,
    /// Chunks up to this slot.
    pub chunk_count: u64,
    /// The terminal status, on the last chunk.
    pub end: Option<Status>,
}

impl From<&Chunk> for Slot {
    fn from(chunk: &Chunk) -> Self {
        Self {
            seq: chunk.first_seq,
            events: chunk.events.len(),
            bytes: chunk.text_bytes(),
            writer: chunk.writer.clone(),
            at: rfc3339(chunk.at_ms),
            received_chunks: chunk.counters.received_chunks,
            received_bytes: chunk.counters.stored_bytes,
            chunk_count: chunk.counters.chunk_count,
            end: chunk.end().map(|(status, _)| status),
        }
    }
}

impl App {
    /// The log as it is stored.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Aws`].
    pub async fn inspect(&self, key: &GenerationKey) -> Result<Inspection, Error> {
        let record = self.get(key).await?;
        let meta = self.buffer.meta(key).await?;
        let mut slots = Vec::new();
        let mut slot = Some(0);
        while let Some(from) = slot {
            let page = self.buffer.chunks(key, from).await?;
            slots.extend(page.chunks.iter().map(Slot::from));
            slot = page.next_slot;
        }
        Ok(Inspection { record, meta, slots })
    }
}
