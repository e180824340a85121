//! The log of a generation: chunks of consecutive events, one compare-and-set per slot, and one end.
//!
//! [`LogState`] is the result of reading the log to its end: where the next slot is, what is open, whether it has ended. It checks
//! each chunk, so that a damaged log is never continued or compacted. [`crate::aws`] stores the chunks.

use std::collections::BTreeMap;

use crate::generation::Status;
use crate::generation::usage::{TotalUsage, Usage};
use crate::log::event::{End, Event, Item, Place, Stretch, TextKind};
use crate::providers::Upstream;

/// Totals over all attempts. Every chunk carries those up to itself.
///
/// Deltas are counted when they are received, and bytes when they are stored: of text that waits, or was lost in a crash, only
/// the deltas are in a chunk's totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Deltas with text that were received from the provider.
    pub received_chunks: u64,
    /// Bytes of text in the log, this chunk included. Rows and the API call it `received_bytes`.
    pub stored_bytes: u64,
    /// Chunks stored, this one included.
    pub chunk_count: u64,
}

/// Consecutive events, stored in one flush as one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The slot: the number of the first event.
    pub first_seq: u64,
    /// The id of the writer: one per attempt.
    pub writer: String,
    /// When it was written, in milliseconds since the epoch.
    pub at_ms: i64,
    /// When the first text of the log was received, in milliseconds: in the chunk that holds it.
    pub first_text_at_ms: Option<i64>,
    /// The totals, this chunk included.
    pub counters: Counters,
    /// Items before this `output_index` belong to attempts that were given up; they are not part of the result.
    pub output_from: u32,
    /// Where the provider's stream stands at the end of the chunk, if the provider keeps the response.
    pub upstream: Option<Upstream>,
    /// At least one event.
    pub events: Vec<Event>,
}

/// Where the next chunk goes, and the totals that it continues. The default is that of an empty log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NextSlot {
    /// The number of its first event.
    pub seq: u64,
    /// The totals so far.
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

    /// Bytes of text in the chunk.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.events.iter().map(|event| event.text_bytes() as u64).sum()
    }
}

/// The output items of a log: which are open, and which index is next. Derived from the events alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    next_output_index: u32,
    open: BTreeMap<u32, OpenItem>,
}

/// An output item that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenItem {
    /// Its kind.
    pub item: Item,
    /// The part of it that is open.
    pub part: Option<Place>,
    /// How many parts it has had.
    pub parts: u32,
}

impl Outline {
    /// The index of the next item. No index is used twice.
    #[must_use]
    pub const fn next_output_index(&self) -> u32 {
        self.next_output_index
    }

    /// The open items, in the order of the output.
    pub fn open(&self) -> impl Iterator<Item = (u32, &OpenItem)> {
        self.open.iter().map(|(index, open)| (*index, open))
    }

    /// Whether an attempt that begins now continues: it finds an item open. Otherwise it begins again, and all items before it belong
    /// to attempts that were given up.
    #[must_use]
    pub fn is_continued(&self) -> bool {
        !self.open.is_empty()
    }

    /// Applies one event.
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

/// The state of a log that was read to its end.
#[derive(Debug, Clone, Default)]
pub struct LogState {
    /// The next slot: the last `seq` plus 1.
    pub next_seq: u64,
    /// The totals.
    pub counters: Counters,
    /// The output items.
    pub outline: Outline,
    /// See [`Chunk::output_from`].
    pub output_from: u32,
    /// How the log ended, if it has.
    pub end: Option<(Status, End)>,
    /// The newest chunk's writer, and when it was written, in milliseconds.
    pub newest: Option<(String, i64)>,
    /// Whether the log holds a [`Event::SchemaViolation`].
    pub has_schema_violation: bool,
    /// Attempts that began, hand-overs included.
    pub attempts: u64,
    /// When the first text was received, in milliseconds.
    pub first_text_at_ms: Option<i64>,
    /// The tokens of the attempts before the newest, as far as they are known.
    pub used: Option<Usage>,
    /// The bytes of text that these attempts left in the log.
    pub bytes_before_attempt: u64,
    /// Those of them that the newest attempt continues.
    pub prefix_bytes: u64,
    /// Where the provider's stream stands, if the provider keeps the response.
    pub upstream: Option<Upstream>,
}

impl LogState {
    /// Applies the next chunk.
    ///
    /// # Errors
    /// One sentence on how the chunk contradicts the chunks before it; the state must not be used after that.
    pub fn apply(&mut self, chunk: &Chunk) -> Result<(), String> {
        self.check(chunk)?;
        for event in &chunk.events {
            self.outline.apply(event);
            if let Event::InProgress { used, .. } = event {
                self.attempts += 1;
                self.used = *used;
                self.begin_attempt(chunk.upstream.as_ref());
            }
            self.has_schema_violation |= matches!(event, Event::SchemaViolation { .. });
        }
        self.next_seq = chunk.next_slot().seq;
        self.counters = chunk.counters;
        self.output_from = chunk.output_from;
        self.upstream.clone_from(&chunk.upstream);
        self.end = chunk.end().map(|(status, end)| (status, end.clone()));
        self.newest = Some((chunk.writer.clone(), chunk.at_ms));
        if self.first_text_at_ms.is_none() && chunk.text_bytes() > 0 {
            self.first_text_at_ms = chunk.first_text_at_ms.or(Some(chunk.at_ms));
        }
        Ok(())
    }

    /// Divides the bytes between the attempts. An attempt that reads the same response as the one before it, which the provider keeps,
    /// is counted together with that one, as the provider counts them.
    fn begin_attempt(&mut self, upstream: Option<&Upstream>) {
        let is_continued = self.outline.is_continued();
        if upstream.zip(self.upstream.as_ref()).is_some_and(|(upstream, before)| upstream.id == before.id) {
            return;
        }
        // No text comes before an attempt's event in its chunk.
        let added = self.counters.stored_bytes - self.bytes_before_attempt;
        self.prefix_bytes = if is_continued { self.prefix_bytes + added } else { 0 };
        self.bytes_before_attempt = self.counters.stored_bytes;
    }

    fn check(&self, chunk: &Chunk) -> Result<(), String> {
        let slot = chunk.first_seq;
        if self.end.is_some() {
            return Err(format!("slot {slot} follows the end"));
        }
        if slot != self.next_seq {
            return Err(format!("slot {slot} where {} was expected", self.next_seq));
        }
        if chunk.events.is_empty() {
            return Err(format!("slot {slot} holds no event"));
        }
        if chunk.events.iter().rev().skip(1).any(|event| event.end().is_some()) {
            return Err(format!("slot {slot} holds an event after the end"));
        }
        let bytes = self.counters.stored_bytes.saturating_add(chunk.text_bytes());
        if chunk.counters.stored_bytes != bytes {
            return Err(format!("slot {slot} counts {} bytes of text where there are {bytes}", chunk.counters.stored_bytes));
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

    /// The tokens of all attempts. Those of the newest are `counted` by the provider, or else estimated for a request of
    /// `prompt_bytes` and the text that it continues, and for its share of the `received_bytes` of all attempts.
    #[must_use]
    pub fn usage(&self, prompt_bytes: u64, received_bytes: u64, counted: Option<Usage>) -> Option<TotalUsage> {
        let received = received_bytes.saturating_sub(self.bytes_before_attempt);
        TotalUsage::of(self.used, counted.or_else(|| Usage::estimate(prompt_bytes + self.prefix_bytes, received)))
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

/// Appends `stretch` to `last` if that has the same kind and place; otherwise returns it.
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
