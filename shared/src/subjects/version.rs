//! A version: a snapshot of a subject's text, and how it came about.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::generation::usage::TotalUsage;
use crate::ids::{GenerationId, RunId, SubjectId};
use crate::limits::OUTPUT_INLINE_BYTES_MAX;

/// A text from this size on, in bytes, is compressed in the bucket. A larger one than an answer may hold is not: callers fetch it from
/// there, by its URL.
const PACKED_BYTES_MIN: u64 = 4 * 1024;

/// How a version came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeType {
    /// By a generation, as the first one of its subject.
    InitialGeneration,
    /// By a later generation.
    AutomaticRegeneration,
    /// By hand.
    ManualEdit,
    /// As a copy of an earlier one.
    Restoration,
}

/// What makes a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A generation that has completed.
    Generation(GenerationId),
    /// A run that has completed.
    Run(RunId),
    /// A person.
    Edit {
        /// The number that the current version must have; `None`: any.
        made_from: Option<u64>,
    },
    /// A request to restore an earlier version.
    Restoration {
        /// As of an edit.
        made_from: Option<u64>,
    },
}

/// What a generation's record keeps for the version that it may become.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Why it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The API key that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The temperature of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The SHA-256 of the prompt, in hex: of instructions, messages, input items and prompt, in a canonical form.
    pub prompt_sha256: String,
}

/// A version of a subject's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Its number: 1, 2, 3 …, without gaps when it is made. Numbers are never used again.
    pub number: u64,
    /// How it came about.
    pub change_type: ChangeType,
    /// Why, in the words of who made it.
    pub reason: Option<String>,
    /// The id of the API key that made it; `None`: the credential was none.
    pub created_by: Option<String>,
    /// When, RFC 3339.
    pub created_at: String,
    /// The generation that it came from; a restoration has the one of what it restores. It may have been purged.
    pub generation: Option<GenerationId>,
    /// The run whose result it is; a restoration has the one of what it restores. It may have been deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The version that it restores.
    pub restored_from: Option<u64>,
    /// The provider that generated it.
    pub provider: Option<String>,
    /// The model, as it was requested.
    pub model: Option<String>,
    /// The temperature of the request.
    pub temperature: Option<f64>,
    /// Milliseconds from the request to the end of the log.
    pub duration_ms: Option<u64>,
    /// Tokens.
    pub usage: Option<TotalUsage>,
    /// Micro-dollars; `None`: nothing was generated, or the model has no price.
    pub cost: Option<u64>,
    /// The SHA-256 of the prompt, in hex.
    pub prompt_sha256: Option<String>,
    /// The SHA-256 of the text, in hex.
    pub sha256: String,
    /// The text's length in bytes.
    pub bytes: u64,
}

/// A version as callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionView {
    /// Always `version`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The subject.
    pub subject: SubjectId,
    /// The labels that it has.
    pub labels: BTreeSet<String>,
    /// Whether it is the newest one.
    pub is_current: bool,
    /// The version.
    #[serde(flatten)]
    pub version: Version,
}

const fn object() -> &'static str {
    "version"
}

impl Version {
    /// A version by hand, not numbered yet.
    #[must_use]
    pub fn by_hand(sha256: String, bytes: u64, reason: Option<String>, created_by: Option<String>, created_at: String) -> Self {
        Self {
            number: 0,
            change_type: ChangeType::ManualEdit,
            reason,
            created_by,
            created_at,
            generation: None,
            run: None,
            restored_from: None,
            provider: None,
            model: None,
            temperature: None,
            duration_ms: None,
            usage: None,
            cost: None,
            prompt_sha256: None,
            sha256,
            bytes,
        }
    }

    /// A copy of this version, not numbered yet. It has cost nothing.
    #[must_use]
    pub fn restored(&self, reason: Option<String>, created_by: Option<String>, created_at: String) -> Self {
        Self {
            number: 0,
            change_type: ChangeType::Restoration,
            reason,
            created_by,
            created_at,
            run: self.run.clone(),
            restored_from: Some(self.number),
            duration_ms: None,
            usage: None,
            cost: None,
            ..self.clone()
        }
    }

    /// Whether the text is compressed in the bucket.
    #[must_use]
    pub const fn is_packed(&self) -> bool {
        is_packed(self.bytes)
    }
}

/// Whether a text of this length is compressed in the bucket.
#[must_use]
pub const fn is_packed(bytes: u64) -> bool {
    bytes >= PACKED_BYTES_MIN && bytes <= OUTPUT_INLINE_BYTES_MAX
}
