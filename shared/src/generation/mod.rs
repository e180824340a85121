//! A generation: its status, and the record that outlives its log.

pub mod job;
pub mod request;
pub mod usage;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::generation::usage::Usage;
use crate::ids::GenerationId;

/// Where a generation stands. The last four are terminal: none of them ever changes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted; its log is empty.
    Pending,
    /// Its log has begun, or has ended well and is being compacted.
    Running,
    /// The provider finished, and the result lies in the bucket, checked against the log.
    Completed,
    /// The provider stopped at a limit or a filter.
    Incomplete,
    /// It could not be finished, or its result was not accepted.
    Failed,
    /// The caller cancelled it.
    Cancelled,
}

impl Status {
    /// Whether nothing can change any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Completed | Self::Incomplete | Self::Failed | Self::Cancelled => true,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The machine's word and the sentence for a generation that did not complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable, for programs: `interrupted`, `rate_limited`, `validation_error` ….
    pub code: String,
    /// For people.
    pub message: String,
}

/// How far a generation has come. Bytes and deltas are counted over all attempts and all kinds of text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Deltas with text in them that the provider has sent.
    pub received_chunks: u64,
    /// Bytes of text in them.
    pub received_bytes: u64,
    /// Chunks stored.
    pub chunk_count: u64,
    /// The newest event's number; `None` while the log is empty.
    pub last_seq: Option<u64>,
    /// When the first chunk with text was stored, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_chunk_at: Option<String>,
    /// When the newest chunk was stored, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_chunk_at: Option<String>,
}

/// A generation as callers see it: its record, and while it runs what its log adds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Generation {
    /// Its id.
    pub id: GenerationId,
    /// Always `generation`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// Where it stands.
    pub status: Status,
    /// Why, where the status alone does not say it.
    pub reason: Option<String>,
    /// What went wrong, for one that failed.
    pub error: Option<Failure>,
    /// The provider asked.
    pub provider: String,
    /// The model asked for.
    pub model: String,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// When its log ended, RFC 3339.
    pub completed_at: Option<String>,
    /// How far it has come.
    pub progress: Progress,
    /// Tokens, as the provider counted them.
    pub usage: Option<Usage>,
    /// Chunks of its log.
    pub chunk_count: Option<u64>,
    /// Where the result lies: `s3://bucket/key`.
    pub compacted: Option<String>,
    /// When it was put there, RFC 3339.
    pub compacted_at: Option<String>,
    /// Who put it there: `compact`, `sweep`, or a person's command.
    pub compacted_by: Option<String>,
    /// The result's SHA-256, in hex.
    pub sha256: Option<String>,
    /// The result's length in bytes.
    pub bytes: Option<u64>,
    /// Provider, model, counts and times, after the published contract; with the caller's own entries.
    pub metadata: Map<String, Value>,
    /// The result as JSON, exactly as it was written, if it is JSON of at most 64 KB and 100 levels.
    pub llm_response: Option<Box<RawValue>>,
    /// The newest validation issue.
    pub last_validation_issue_id: Option<String>,
}

const fn object() -> &'static str {
    "generation"
}
