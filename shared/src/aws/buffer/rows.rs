//! The rows of the buffer table, and their keys.
//!
//! | partition key | sort key | row |
//! |---|---|---|
//! | `{organization}#{generation}` | 12 digits: the slot | [`ChunkRow`] |
//! | `{organization}#{generation}` | `meta` | [`MetaRow`] |

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_dynamo::Item;
use serde_json::Value;

use crate::aws::buffer::packing::{EVENTS, ITEM, Packing, pack, unpack};
use crate::aws::buffer::size::{item_bytes, value_bytes};
use crate::aws::clients::unexpected;
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::log::chunk::{Chunk, Counters};
use crate::log::event::Event;
use crate::providers::Upstream;

/// Sort key of meta. Chunks' keys are digits, which sort before it.
pub(in crate::aws) const META: &str = "meta";
/// The first sort key after every slot.
pub(in crate::aws) const AFTER_SLOTS: &str = ":";

/// The highest slot: a longer number would not sort after it.
const SLOT_MAX: u64 = 999_999_999_999;

/// The sort key of a slot. Sort keys have the order of the slots' numbers.
pub(in crate::aws) fn slot(seq: u64) -> String {
    format!("{seq:012}")
}

/// A chunk as it is stored: borrowed to be written, owned when it was read. The terminal chunk has `end`, which the stream filter
/// of `compact` selects on.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::aws) struct ChunkRow<'a> {
    pub pk: String,
    pub sk: String,
    pub writer: Cow<'a, str>,
    pub at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_text_at: Option<i64>,
    pub received_chunks: u64,
    #[serde(rename = "received_bytes")]
    pub stored_bytes: u64,
    pub chunk_count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_from: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Cow<'a, Upstream>>,
    #[serde(default)]
    pub events: Cow<'a, [Event]>,
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub packed: Option<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Cow<'a, str>>,
    pub expires_at: i64,
}

impl<'a> ChunkRow<'a> {
    /// The row of `chunk`, borrowed from it.
    pub fn new(key: &GenerationKey, chunk: &'a Chunk, expires_at: i64) -> Self {
        Self {
            pk: key.partition(),
            sk: slot(chunk.first_seq),
            writer: Cow::Borrowed(&chunk.writer),
            at: chunk.at_ms,
            first_text_at: chunk.first_text_at_ms,
            received_chunks: chunk.counters.received_chunks,
            stored_bytes: chunk.counters.stored_bytes,
            chunk_count: chunk.counters.chunk_count,
            output_from: (chunk.output_from > 0).then_some(chunk.output_from),
            upstream: chunk.upstream.as_ref().map(Cow::Borrowed),
            events: Cow::Borrowed(&chunk.events),
            packed: None,
            end: chunk.end().map(|(status, _)| Cow::Borrowed(status.as_str())),
            expires_at,
        }
    }

    /// `None`: the sort key is no slot.
    ///
    /// # Errors
    /// [`Error::Aws`]: its packed events cannot be read.
    pub fn into_chunk(self) -> Result<Option<Chunk>, Error> {
        let first_seq = self.sk.parse().ok().filter(|seq| slot(*seq) == self.sk && *seq <= SLOT_MAX);
        let Some(first_seq) = first_seq else { return Ok(None) };
        Ok(Some(Chunk {
            first_seq,
            writer: self.writer.into_owned(),
            at_ms: self.at,
            first_text_at_ms: self.first_text_at,
            counters: Counters {
                received_chunks: self.received_chunks,
                stored_bytes: self.stored_bytes,
                chunk_count: self.chunk_count,
            },
            output_from: self.output_from.unwrap_or(0),
            upstream: self.upstream.map(Cow::into_owned),
            events: self.packed.as_deref().map_or_else(|| Ok(self.events.into_owned()), unpack)?,
        }))
    }
}

/// Bytes of a chunk's item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkBytes {
    /// The item.
    pub whole: usize,
    /// Its events among them.
    pub events: usize,
}

/// Bytes of a chunk's item, names and values, before its events are compressed, as DynamoDB counts them
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>).
///
/// # Errors
/// [`Error::Aws`]: it cannot be written as an item. No such chunk is known.
pub fn chunk_item_bytes(key: &GenerationKey, chunk: &Chunk, expires_at: i64) -> Result<ChunkBytes, Error> {
    let item: Item = serde_dynamo::to_item(ChunkRow::new(key, chunk, expires_at)).map_err(|error| unexpected(ITEM, error))?;
    Ok(ChunkBytes { whole: item_bytes(&item), events: EVENTS.len() + item.get(EVENTS).map_or(0, value_bytes) })
}

/// The item of a chunk, and how its events are packed, if they are.
pub(super) fn chunk_item(key: &GenerationKey, chunk: &Chunk, expires_at: i64) -> Result<(Item, Option<Packing>), Error> {
    let mut item: Item = serde_dynamo::to_item(ChunkRow::new(key, chunk, expires_at)).map_err(|error| unexpected(ITEM, error))?;
    let packing = pack(&mut item, &chunk.events)?;
    Ok((item, packing))
}

/// A chunk as its item, in DynamoDB's own JSON (`{"sk":{"S":"000000000000"},…}`), as in stream records and exports.
///
/// # Errors
/// [`Error::Aws`]: it cannot be written as an item. No such chunk is known.
pub fn chunk_to_item(key: &GenerationKey, chunk: &Chunk, expires_at: i64) -> Result<Value, Error> {
    let (item, _) = chunk_item(key, chunk, expires_at)?;
    serde_json::to_value(item).map_err(|error| unexpected(ITEM, error))
}

/// The chunk of such an item; `None`: its sort key is no slot.
///
/// # Errors
/// [`Error::Aws`]: it is not the item of a chunk.
pub fn chunk_from_item(item: Value) -> Result<Option<Chunk>, Error> {
    let item: Item = serde_json::from_value(item).map_err(|error| unexpected(ITEM, error))?;
    let row: ChunkRow = serde_dynamo::from_item(item).map_err(|error| unexpected(ITEM, error))?;
    row.into_chunk()
}

/// The log's companion item: which writer has the lease and until when, and until when a reader watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaRow {
    /// Attempts begun so far; 0 where a reader or a cancel wrote meta before the first.
    #[serde(default)]
    pub attempt: u32,
    /// Those of them that passed the work on because their function's time was over. They do not count as failed.
    #[serde(default, skip_serializing_if = "crate::log::event::is_zero")]
    pub hand_overs: u32,
    /// Those of them whose beginning the provider refused: it could not continue the answer. They do not count as failed.
    #[serde(default, skip_serializing_if = "crate::log::event::is_zero")]
    pub refused: u32,
    /// The provider's id of the newest response that it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The id of the newest attempt's writer; after a hand-over, an id that no writer has.
    #[serde(default)]
    pub writer: String,
    /// Until when that writer counts as alive, in milliseconds; each chunk of its own extends that.
    #[serde(default)]
    pub lease_until: i64,
    /// The caller has cancelled the generation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// Until when a reader watches, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_until: Option<i64>,
    /// How often a sweep has invoked `stream` since the newest attempt began.
    #[serde(default)]
    pub sweeps: u32,
    /// When it last did, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_at: Option<i64>,
    /// When the item expires, epoch seconds.
    pub expires_at: i64,
}

impl MetaRow {
    /// Attempts that count towards `max_attempts`.
    #[must_use]
    pub const fn attempts_counted(&self) -> u32 {
        self.attempt.saturating_sub(self.attempts_not_counted())
    }

    /// Attempts that do not.
    #[must_use]
    pub const fn attempts_not_counted(&self) -> u32 {
        self.hand_overs.saturating_add(self.refused)
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
