//! A generation: its status, and the record that outlives its log.

pub mod conversation;
pub mod job;
pub mod list_query;
pub mod request;
pub mod usage;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::generation::usage::TotalUsage;
use crate::ids::{BatchId, GenerationId, SubjectId};

/// The status of a generation. The last four are terminal and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted; its log is empty.
    Pending,
    /// Its log has begun, or is complete and being compacted.
    Running,
    /// The provider finished, and the result is in the bucket, checked against the log.
    Completed,
    /// The provider stopped at a limit or a filter.
    Incomplete,
    /// It could not be finished, or its result did not pass validation.
    Failed,
    /// The caller cancelled it.
    Cancelled,
}

impl Status {
    /// Whether the status is final.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Completed | Self::Incomplete | Self::Failed | Self::Cancelled => true,
        }
    }

    /// The name in JSON.
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

/// Why a generation did not complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable code for programs: `interrupted`, `rate_limited`, `validation_error` ….
    pub code: String,
    /// One sentence for people.
    pub message: String,
}

/// The progress of a generation. Bytes and deltas are counted over all attempts and all kinds of text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Deltas with text that were received from the provider.
    pub received_chunks: u64,
    /// Bytes of text in them.
    pub received_bytes: u64,
    /// Stored chunks.
    pub chunk_count: u64,
    /// The newest event's number; `None` while the log is empty.
    pub last_seq: Option<u64>,
    /// Deltas in all: once it has completed, and before that what the request expects. `None`: unknown.
    #[serde(default)]
    pub total_chunks: Option<u64>,
    /// Bytes in all, as the request expects, or as earlier versions of its subject had. `None`: unknown.
    #[serde(default)]
    pub expected_total_bytes: Option<u64>,
    /// What was received of what the request expects: at most 99 until it has completed, and then 100. `None`: unknown.
    #[serde(default)]
    pub percent: Option<u8>,
    /// When the first delta was received, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_chunk_at: Option<String>,
    /// When the newest chunk was stored, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_chunk_at: Option<String>,
}

impl Progress {
    /// Sets `percent` and `total_chunks` from what was received and what is expected. The totals that are set are the request's.
    pub fn count_against_total(&mut self, is_completed: bool) {
        let share = |received: u64, total: Option<u64>| {
            let percent = u128::from(received) * 100 / u128::from(total.filter(|total| *total > 0)?);
            u8::try_from(percent.min(99)).ok()
        };
        let so_far = || {
            let of_bytes = share(self.received_bytes, self.expected_total_bytes);
            of_bytes.or_else(|| share(self.received_chunks, self.total_chunks))
        };
        self.percent = if is_completed { Some(100) } else { so_far() };
        if is_completed {
            self.total_chunks = Some(self.received_chunks);
        }
    }
}

/// A generation as callers see it: its record, and the state of its log while it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Generation {
    /// Its id.
    pub id: GenerationId,
    /// Always `generation`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The status.
    pub status: Status,
    /// Whether the log has ended and its result is still being stored: what the end adds to the record may be missing.
    #[serde(default)]
    pub finalizing: bool,
    /// The generation that this one repeats, where it was created by a retry.
    #[serde(default)]
    pub retry_of: Option<GenerationId>,
    /// What it is about, as the request named it.
    #[serde(default)]
    pub subject: Option<SubjectId>,
    /// The batch that it is a try of an item of.
    pub batch: Option<BatchId>,
    /// The reason for the status, where there is one.
    pub reason: Option<String>,
    /// The error of a failed generation.
    pub error: Option<Failure>,
    /// The provider's own word for why it stopped, where it named one.
    #[serde(default)]
    pub finish_reason: Option<String>,
    /// The provider's name.
    pub provider: String,
    /// The requested model.
    pub model: String,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// When its log ended, RFC 3339.
    pub completed_at: Option<String>,
    /// Attempts that were begun, without hand-overs; `None` until it has ended.
    #[serde(default)]
    pub attempts: Option<u64>,
    /// The progress.
    pub progress: Progress,
    /// The tokens of all attempts, as the provider reported them, or else estimated.
    pub usage: Option<TotalUsage>,
    /// What it cost at the configured prices, in micro-dollars; `None`: it has not ended, or its model has no price.
    #[serde(default)]
    pub cost: Option<u64>,
    /// The number of chunks in its log.
    pub chunk_count: Option<u64>,
    /// The location of the result: `s3://bucket/key`.
    pub compacted: Option<String>,
    /// When the result was stored, RFC 3339.
    pub compacted_at: Option<String>,
    /// What stored it: `compact`, `sweep`, or an operator's command.
    pub compacted_by: Option<String>,
    /// The result's SHA-256, in hex.
    pub sha256: Option<String>,
    /// The result's length in bytes.
    pub bytes: Option<u64>,
    /// Provider, model, counts and times, as the published schema describes them.
    pub metadata: Map<String, Value>,
    /// The caller's own entries, as they were sent.
    #[serde(default)]
    pub request_metadata: Map<String, Value>,
    /// The result's JSON, byte for byte, if it is JSON of at most 64 KB and 100 levels.
    pub llm_response: Option<Box<RawValue>>,
    /// The newest validation issue.
    pub last_validation_issue_id: Option<String>,
    /// The subject that it is accepted for; absent where it is for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_subject: Option<SubjectId>,
    /// When it was accepted, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<String>,
    /// The id of the API key that accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_by: Option<String>,
}

const fn object() -> &'static str {
    "generation"
}
