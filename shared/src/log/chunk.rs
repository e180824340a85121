//! The log of a generation: chunks of consecutive events, one compare-and-set per slot, and one end.
//!
//! [`LogState`] is what reading the log to its end tells: where the next slot is, what is open, whether it has ended. It
//! checks as it reads, so that a damaged log is never continued or compacted. Storing a chunk is [`crate::aws`]'s part.

use std::collections::BTreeMap;

use crate::generation::Status;
use crate::log::event::{End, Event, Item, Place, Stretch, TextKind};

/// What has come from the provider so far, over all attempts. Every chunk carries the sums up to itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Deltas with text in them.
    pub received_chunks: u64,
    /// Bytes of text stored in the log, this chunk included.
    pub received_bytes: u64,
    /// Chunks stored, this one included.
    pub chunk_count: u64,
}

/// One stored item: consecutive events, written in one flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The number of its first event: the slot.
    pub first_seq: u64,
    /// Who wrote it: one id per attempt.
    pub writer: String,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// The sums, this chunk included.
    pub counters: Counters,
    /// Items before this `output_index` belong to an attempt that was given up; they are not part of the result.
    pub output_from: u32,
    /// At least one event.
    pub events: Vec<Event>,
}

/// Where the next chunk goes, and the sums that it goes on from. The default is that of an empty log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NextSlot {
    /// Its first event's number.
    pub seq: u64,
    /// The sums so far.
    pub counters: Counters,
    /// See [`Chunk::output_from`].
    pub output_from: u32,
}

impl Chunk {
    /// Where the chunk after this one goes.
    #[must_use]
    pub const fn next_slot(&self) -> NextSlot {
        NextSlot { seq: self.last_seq().saturating_add(1), counters: self.counters, output_from: self.output_from }
    }

    /// The number of its last event.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.first_seq.saturating_add((self.events.len() as u64).saturating_sub(1))
    }

    /// How the generation ended, if this is the terminal chunk.
    #[must_use]
    pub fn end(&self) -> Option<(Status, &End)> {
        self.events.last().and_then(Event::end)
    }

    /// Bytes of text in it.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.events.iter().map(|event| event.text_bytes() as u64).sum()
    }
}

/// The output items of a log: which are open, and where the next goes. Follows from the events alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    next_output_index: u32,
    open: BTreeMap<u32, OpenItem>,
}

/// An output item that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenItem {
    /// What it is.
    pub item: Item,
    /// The part that is open in it.
    pub part: Option<Place>,
    /// Parts that it has had.
    pub parts: u32,
}

impl Outline {
    /// The index that the next item gets. No index is used twice.
    #[must_use]
    pub const fn next_output_index(&self) -> u32 {
        self.next_output_index
    }

    /// The open items, in the order of the output.
    pub fn open(&self) -> impl Iterator<Item = (u32, &OpenItem)> {
        self.open.iter().map(|(index, open)| (*index, open))
    }

    /// Follows one event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::OutputItemAdded { output_index, item } => {
                self.next_output_index = self.next_output_index.max(output_index.saturating_add(1));
                self.open.insert(*output_index, OpenItem { item: item.clone(), part: None, parts: 0 });
            }
            Event::ContentPartAdded(place) => {
                if let Some(open) = self.open.get_mut(&place.output_index) {
                    open.part = Some(*place);
                    open.parts = place.content_index.saturating_add(1);
                }
            }
            Event::ContentPartDone(place) => {
                if let Some(open) = self.open.get_mut(&place.output_index) {
                    open.part = None;
                }
            }
            Event::OutputItemDone { output_index, .. } => {
                self.open.remove(output_index);
            }
            _ => {}
        }
    }
}

/// Everything that reading a log to its end tells.
#[derive(Debug, Clone, Default)]
pub struct LogState {
    /// The next slot: the last `seq` and 1.
    pub next_seq: u64,
    /// The sums.
    pub counters: Counters,
    /// The items.
    pub outline: Outline,
    /// See [`Chunk::output_from`].
    pub output_from: u32,
    /// How it ended, if it has.
    pub end: Option<(Status, End)>,
    /// Who wrote the newest chunk, and when.
    pub newest: Option<(String, i64)>,
    /// Whether readers were told that the output broke its schema.
    pub has_schema_violation: bool,
    /// When the first chunk with text was stored.
    pub first_text_at_ms: Option<i64>,
}

impl LogState {
    /// Takes in the next chunk.
    ///
    /// # Errors
    /// Says in one sentence how the chunk contradicts what came before; the state is then of no use.
    pub fn apply(&mut self, chunk: &Chunk) -> Result<(), String> {
        self.check(chunk)?;
        for event in &chunk.events {
            self.outline.apply(event);
            self.has_schema_violation |= matches!(event, Event::SchemaViolation { .. });
        }
        self.next_seq = chunk.next_slot().seq;
        self.counters = chunk.counters;
        self.output_from = chunk.output_from;
        self.end = chunk.end().map(|(status, end)| (status, end.clone()));
        self.newest = Some((chunk.writer.clone(), chunk.at_ms));
        if self.first_text_at_ms.is_none() && chunk.text_bytes() > 0 {
            self.first_text_at_ms = Some(chunk.at_ms);
        }
        Ok(())
    }

    fn check(&self, chunk: &Chunk) -> Result<(), String> {
        let slot = chunk.first_seq;
        if self.end.is_some() {
            return Err(format!("slot {slot} lies behind the end"));
        }
        if slot != self.next_seq {
            return Err(format!("slot {slot} where {} was due", self.next_seq));
        }
        if chunk.events.is_empty() {
            return Err(format!("slot {slot} holds no event"));
        }
        if chunk.events.iter().rev().skip(1).any(|event| event.end().is_some()) {
            return Err(format!("slot {slot} holds an event behind the end"));
        }
        let bytes = self.counters.received_bytes.saturating_add(chunk.text_bytes());
        if chunk.counters.received_bytes != bytes {
            return Err(format!("slot {slot} counts {} bytes of text where there are {bytes}", chunk.counters.received_bytes));
        }
        let chunks = self.counters.chunk_count.saturating_add(1);
        if chunk.counters.chunk_count != chunks {
            return Err(format!("slot {slot} counts {} chunks where there are {chunks}", chunk.counters.chunk_count));
        }
        if chunk.counters.received_chunks < self.counters.received_chunks || chunk.output_from < self.output_from {
            return Err(format!("slot {slot} counts backwards"));
        }
        Ok(())
    }

    /// Where the next chunk goes.
    #[must_use]
    pub const fn next_slot(&self) -> NextSlot {
        NextSlot { seq: self.next_seq, counters: self.counters, output_from: self.output_from }
    }

    /// Whether nothing has been written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.next_seq == 0
    }
}

/// Joins `delta` to `last` if that is a stretch of the same kind and place; otherwise gives it back.
pub fn join(last: Option<&mut Event>, kind: TextKind, stretch: Stretch) -> Option<Stretch> {
    match last.and_then(Event::stretch_mut) {
        Some((last_kind, held))
            if last_kind == kind && held.output_index == stretch.output_index && held.content_index == stretch.content_index =>
        {
            held.delta.push_str(&stretch.delta);
            None
        }
        _ => Some(stretch),
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
