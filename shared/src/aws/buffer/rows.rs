//! The rows of the buffer table, and the keys they lie under.
//!
//! | partition key | sort key | row |
//! |---|---|---|
//! | `{organization}#{generation}` | 12 digits: the slot | [`ChunkRow`] |
//! | `{organization}#{generation}` | `meta` | [`MetaRow`] |

use serde::{Deserialize, Serialize};
use serde_dynamo::Item;
use serde_json::Value;

use crate::aws::clients::unexpected;
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::log::chunk::{Chunk, Counters};
use crate::log::event::Event;

/// Sort key of meta. Chunks' keys are digits, which sort before it.
pub(in crate::aws) const META: &str = "meta";
/// The first sort key after every slot.
pub(in crate::aws) const AFTER_SLOTS: &str = ":";

/// What an item that cannot be read was.
const ITEM: &str = "dynamodb item";

/// The highest slot: more digits would not sort behind it.
const SLOT_MAX: u64 = 999_999_999_999;

/// The sort key of a slot: a trillion events, in the order of their numbers.
pub(in crate::aws) fn slot(seq: u64) -> String {
    format!("{seq:012}")
}

/// A chunk as it is stored. The terminal one carries `end`, which the stream filter of `compact` selects on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::aws) struct ChunkRow {
    pub pk: String,
    pub sk: String,
    pub writer: String,
    pub at: i64,
    pub received_chunks: u64,
    pub received_bytes: u64,
    pub chunk_count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_from: Option<u32>,
    pub events: Vec<Event>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    pub expires_at: i64,
}

impl ChunkRow {
    pub fn new(key: &GenerationKey, chunk: &Chunk, expires_at: i64) -> Self {
        Self {
            pk: key.partition(),
            sk: slot(chunk.first_seq),
            writer: chunk.writer.clone(),
            at: chunk.at_ms,
            received_chunks: chunk.counters.received_chunks,
            received_bytes: chunk.counters.received_bytes,
            chunk_count: chunk.counters.chunk_count,
            output_from: (chunk.output_from > 0).then_some(chunk.output_from),
            events: chunk.events.clone(),
            end: chunk.end().map(|(status, _)| status.as_str().to_owned()),
            expires_at,
        }
    }

    /// `None`: the sort key is no slot.
    pub fn into_chunk(self) -> Option<Chunk> {
        let first_seq = self.sk.parse().ok().filter(|seq| slot(*seq) == self.sk && *seq <= SLOT_MAX)?;
        Some(Chunk {
            first_seq,
            writer: self.writer,
            at_ms: self.at,
            counters: Counters {
                received_chunks: self.received_chunks,
                received_bytes: self.received_bytes,
                chunk_count: self.chunk_count,
            },
            output_from: self.output_from.unwrap_or(0),
            events: self.events,
        })
    }
}

/// A chunk as its item, in DynamoDB's own JSON (`{"sk":{"S":"000000000000"},…}`): what stream records and exports hold.
///
/// # Errors
/// [`Error::Aws`]: it cannot be written so. None is known.
pub fn chunk_to_item(key: &GenerationKey, chunk: &Chunk, expires_at: i64) -> Result<Value, Error> {
    let item: Item = serde_dynamo::to_item(ChunkRow::new(key, chunk, expires_at)).map_err(|error| unexpected(ITEM, error))?;
    serde_json::to_value(item).map_err(|error| unexpected(ITEM, error))
}

/// The chunk of such an item; `None`: its sort key is no slot.
///
/// # Errors
/// [`Error::Aws`]: it is no chunk's item.
pub fn chunk_from_item(item: Value) -> Result<Option<Chunk>, Error> {
    let item: Item = serde_json::from_value(item).map_err(|error| unexpected(ITEM, error))?;
    let row: ChunkRow = serde_dynamo::from_item(item).map_err(|error| unexpected(ITEM, error))?;
    Ok(row.into_chunk())
}

/// The log's companion: whose turn it is, until when, and who is watching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaRow {
    /// Attempts begun so far. 0 where a reader or a cancel came before the first.
    #[serde(default)]
    pub attempt: u32,
    /// Those of them that ended because the function's time did, and passed the work on: they do not count as failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hand_overs: u32,
    /// The newest attempt's writer; of one that has handed over, nobody's.
    #[serde(default)]
    pub writer: String,
    /// Until when that writer is taken to be alive, in milliseconds; a newer chunk of its prolongs it.
    #[serde(default)]
    pub lease_until: i64,
    /// The caller wants it to end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// Until when somebody is watching, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_until: Option<i64>,
    /// How often a sweep has invoked it again since the newest attempt began.
    #[serde(default)]
    pub sweeps: u32,
    /// When it last did, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_at: Option<i64>,
    /// Epoch seconds.
    pub expires_at: i64,
}

impl MetaRow {
    /// Attempts that count towards `max_attempts`.
    #[must_use]
    pub const fn attempts_counted(&self) -> u32 {
        self.attempt.saturating_sub(self.hand_overs)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
