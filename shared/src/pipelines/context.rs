//! What a run has so far: its input, and the steps that have ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the templates of a run see: its input, and the steps that have ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// The run's input, with its defaults.
    pub input: Value,
    /// The steps that have ended, by their ids.
    pub steps: BTreeMap<String, Done>,
}

/// A step that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// How.
    pub status: DoneStatus,
    /// Its output: JSON if the step has a schema, otherwise text. Null unless it completed.
    pub output: Value,
}

/// How a step ended, for the steps behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoneStatus {
    /// It has its output.
    Completed,
    /// Its `when` was false.
    Skipped,
    /// It failed, and the run goes on.
    Failed,
}

impl DoneStatus {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}
