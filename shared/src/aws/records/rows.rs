//! The rows of the records table, and the keys they lie under.
//!
//! | partition key | sort key | row |
//! |---|---|---|
//! | `{organization}#{generation}` | `record` | [`RecordRow`] |
//! | `{organization}#{generation}` | `request` | [`RequestRow`] |
//! | `{organization}#{generation}` | `issue#{id}` | [`ValidationIssueRow`] |
//! | `{organization}#idempotency#{sha256 of the key}` | `key` | [`IdempotencyRow`] |
//! | `{organization}#create#{fingerprint}` | `key` | [`IdempotencyRow`], of a request without a key |
//! | `{organization}#settings` | `quota` | the organization's own [`crate::quota::Quota`] |
//! | `{organization}#usage` | the day | [`crate::quota::DayUsage`], where days are bounded |
//! | `{organization}#keys` | the key's id | [`KeyRow`](super::KeyRow) |
//! | `#key#{sha256 of the API key}` | `key` | [`KeyHashRow`](super::KeyHashRow): no organization's, because it says which |

use serde::{Deserialize, Serialize};

use crate::error::FieldError;
use crate::generation::usage::Usage;
use crate::generation::{Failure, Status};
use crate::ids::{GenerationId, Organization};
use crate::quota::Allowance;

/// Sort key of the record.
pub(in crate::aws) const RECORD: &str = "record";
/// Sort key of the request.
pub(in crate::aws) const REQUEST: &str = "request";
/// Sort key of an idempotency row.
pub(in crate::aws) const IDEMPOTENCY: &str = "key";
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
