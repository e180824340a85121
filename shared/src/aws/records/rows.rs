//! The rows of both tables, and the keys they lie under.
//!
//! | table | partition key | sort key | row |
//! |---|---|---|---|
//! | buffer | `{organization}#{generation}` | 12 digits: the slot | [`ChunkRow`] |
//! | buffer | `{organization}#{generation}` | `meta` | [`MetaRow`] |
//! | records | `{organization}#{generation}` | `record` | [`RecordRow`] |
//! | records | `{organization}#{generation}` | `request` | [`RequestRow`] |
//! | records | `{organization}#{generation}` | `issue#{id}` | [`ValidationIssueRow`] |
//! | records | `{organization}#idempotency#{sha256 of the key}` | `key` | [`IdempotencyRow`] |
//! | records | `{organization}#create#{fingerprint}` | `key` | [`IdempotencyRow`], of a request without a key |
//! | records | `{organization}#settings` | `quota` | the organization's own [`crate::quota::Quota`] |
//! | records | `{organization}#usage` | the day | [`crate::quota::DayUsage`], where days are bounded |
//! | records | `{organization}#keys` | the key's id | [`KeyRow`](super::KeyRow) |
//! | records | `#key#{sha256 of the API key}` | `key` | [`KeyHashRow`](super::KeyHashRow): no organization's, because it says which |

use serde::{Deserialize, Serialize};
use serde_dynamo::Item;
use serde_json::Value;

use crate::aws::clients::unexpected;
use crate::error::{Error, FieldError};
use crate::generation::{Failure, Status};
use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::log::chunk::{Chunk, Counters};
use crate::log::event::{Event, Usage};
use crate::quota::Allowance;

/// Sort key of meta. Chunks' keys are digits, which sort before it.
pub(in crate::aws) const META: &str = "meta";
/// Sort key of the record.
pub(in crate::aws) const RECORD: &str = "record";
/// Sort key of the request.
pub(in crate::aws) const REQUEST: &str = "request";
/// Sort key of an idempotency row.
pub(in crate::aws) const IDEMPOTENCY: &str = "key";
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

/// A generation's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordRow {
    pub(in crate::aws) pk: String,
    pub(in crate::aws) sk: String,
    /// Partition key of the index `by_organization`.
    pub organization: Organization,
    /// Its sort key.
    pub generation: GenerationId,
    /// Partition key of the sparse index `by_open`: there until the generation has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::aws) open: Option<String>,
    /// Its sort key: `{organization}#{created_at}`. There for as long as `open` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::aws) open_at: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// `pending`, until the end writes a terminal status. Between the two the log tells more.
    pub status: Status,
    /// The provider asked.
    pub provider: String,
    /// The model asked for.
    pub model: String,
    /// The partition key of the idempotency row that led to it, which is purged with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<String>,
    /// The day that it counts for, and what was left of it; absent where its organization's days are not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// The request that started it, as API Gateway numbered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Everything that its end brought.
    #[serde(flatten)]
    pub outcome: Option<Outcome>,
}

/// What the end of a generation adds to its record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// When the log ended, RFC 3339.
    pub completed_at: String,
    /// Why, where the status does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// `s3://bucket/key` of the text; absent where the log was of no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compacted: Option<String>,
    /// RFC 3339.
    pub compacted_at: String,
    /// Who did it.
    pub compacted_by: String,
    /// Chunks of the log.
    pub chunk_count: u64,
    /// Deltas with text in them.
    pub received_chunks: u64,
    /// Bytes of text in the log.
    pub received_bytes: u64,
    /// The log's last event.
    pub last_seq: u64,
    /// The text's SHA-256 in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The text's length.
    pub bytes: u64,
    /// Whether tool calls or a refusal lie in the event log beside the text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_other_output: bool,
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// A JSON object as text: `DynamoDB` nests 32 levels at most, JSON does not care.
    pub metadata: String,
    /// The result's own JSON text, for the same reason and because numbers stay as they were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llm_response: Option<String>,
    /// The newest validation issue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_validation_issue_id: Option<String>,
}

/// The request, or where it lies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::aws) struct RequestRow {
    pub pk: String,
    pub sk: String,
    /// The request's JSON text; absent where it is too large and lies in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// One result that did not pass validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationIssueRow {
    pub(in crate::aws) pk: String,
    pub(in crate::aws) sk: String,
    /// Its id; the same however often the same log is compacted.
    pub id: String,
    /// RFC 3339.
    pub created_at: String,
    /// What was wrong, and where. At most [`crate::limits::VALIDATION_ERRORS_MAX`].
    pub errors: Vec<IssueError>,
    /// How many there were.
    pub error_count: u64,
}

/// One error of an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueError {
    /// `metadata` or `output`, and a JSON Pointer into it.
    pub path: String,
    /// What was expected.
    pub message: String,
}

impl From<FieldError> for IssueError {
    fn from(error: FieldError) -> Self {
        Self { path: error.pointer, message: error.detail }
    }
}

/// An `Idempotency-Key` that has been used, or the newest keyless create of one body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::aws) struct IdempotencyRow {
    pub pk: String,
    pub sk: String,
    pub generation: GenerationId,
    pub fingerprint: String,
    pub expires_at: i64,
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
