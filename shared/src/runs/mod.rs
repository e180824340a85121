//! A run: one execution of a pipeline, whose steps are generations. The rules are pure; [`crate::aws`] stores what they say.

pub mod body;
pub mod places;
pub mod plan;
pub mod request;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::generation::Failure;
use crate::generation::usage::Usage;
use crate::ids::GenerationId;

/// The status of a run. The last three are terminal and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Accepted; it waits for a place among its organization's runs.
    Pending,
    /// Steps are started as those before them end.
    Running,
    /// It was cancelled, or has failed: nothing is started any more, and what runs is ended.
    Cancelling,
    /// Every step has ended, and the run has its result.
    Completed,
    /// It has no result, for the reason that it names.
    Failed,
    /// The caller cancelled it.
    Cancelled,
}

impl RunStatus {
    /// Each of them.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Running, Self::Cancelling, Self::Completed, Self::Failed, Self::Cancelled];

    /// Whether the status is final.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The status of a step. The last four are terminal and never change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It waits for the steps that it needs, for a place, or for its next try.
    #[default]
    Waiting,
    /// Its generation has been created, and has no outcome yet.
    Running,
    /// Its generation completed.
    Completed,
    /// Its `when` was false.
    Skipped,
    /// Its last try failed.
    Failed,
    /// The run ended before it did.
    Cancelled,
}

impl StepStatus {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a run ends without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunReason {
    /// Its input does not match the pipeline's schema; it was stored because the caller asked for that.
    ValidationError,
    /// A step failed.
    StepFailed,
    /// It took longer than the pipeline's `limits.timeout`.
    Timeout,
    /// It cost more than the pipeline's `limits.max_cost_usd`.
    SpendLimit,
    /// The caller cancelled it.
    Cancelled,
}

impl RunReason {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ValidationError => "validation_error",
            Self::StepFailed => "step_failed",
            Self::Timeout => "timeout",
            Self::SpendLimit => "spend_limit",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a run ends without a result. The first cause counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Why.
    pub reason: RunReason,
    /// The step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why, for people.
    pub message: String,
}

/// What decides how a run goes on, beside its steps: the part of its header that their ends change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Its status.
    pub status: RunStatus,
    /// How it ends without a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<RunEnd>,
    /// Steps that have completed, were skipped, or have failed where the run goes on.
    pub completed_steps: u32,
    /// All steps.
    pub total_steps: u32,
    /// The steps that run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub current_steps: Vec<String>,
    /// The phase of the step that was started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What happened last, for people.
    #[serde(default)]
    pub message: String,
    /// The tokens of all tries that have ended.
    #[serde(default)]
    pub usage: Usage,
    /// Micro-dollars of them, as far as their models have a price.
    #[serde(default)]
    pub cost: u64,
    /// When it fails with [`RunReason::Timeout`], milliseconds since the epoch; absent until it is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<i64>,
    /// Counts the changes: each is written where the one before it is stored.
    pub revision: u64,
    /// How often any step has changed: the sum of [`StepState::changes`].
    #[serde(default)]
    pub step_changes: u64,
}

impl Progress {
    /// That of a new run of so many steps.
    #[must_use]
    pub fn new(total_steps: u32) -> Self {
        Self {
            status: RunStatus::Pending,
            end: None,
            completed_steps: 0,
            total_steps,
            current_steps: Vec::new(),
            phase: None,
            message: String::new(),
            usage: Usage::default(),
            cost: 0,
            deadline_ms: None,
            revision: 0,
            step_changes: 0,
        }
    }

    /// Whether these are the steps as they were stored with this: a query may see some rows of a transaction before the others.
    #[must_use]
    pub fn is_of(&self, steps: &Steps) -> bool {
        self.step_changes == steps.values().map(|state| state.changes).sum::<u64>()
    }
}

/// A step of a run, as far as the rules need it. One that was not begun has the default, and is not stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    /// Its status.
    pub status: StepStatus,
    /// The generation of its newest try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationId>,
    /// The generations of the tries before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<GenerationId>,
    /// Tries begun.
    #[serde(rename = "try", default)]
    pub tries: u32,
    /// Not tried again before this moment, milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at_ms: Option<i64>,
    /// Why its newest try that has ended did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// The tokens of its tries that have ended.
    #[serde(default)]
    pub usage: Usage,
    /// Micro-dollars of them.
    #[serde(default)]
    pub cost: u64,
    /// When its first try was started, milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<i64>,
    /// When it ended, milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    /// It was completed by the run that this one repeats.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_inherited: bool,
    /// How often it has changed.
    #[serde(default)]
    pub changes: u64,
}

/// The steps of a run that were begun, by their ids.
pub type Steps = BTreeMap<String, StepState>;

/// What happened to the generation of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The step.
    pub step: String,
    /// The generation.
    pub generation: GenerationId,
    /// Its tokens.
    pub usage: Usage,
    /// Micro-dollars of them.
    pub cost: u64,
    /// Why it did not complete; `None`: it did. Its `code` says whether another try may help.
    pub failure: Option<Failure>,
}

/// An entry of a run's execution log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What happened.
    #[serde(rename = "type")]
    pub entry_type: EntryType,
    /// The step that it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The phase that it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The generation of the step's try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationId>,
    /// The number of the step's try.
    #[serde(rename = "try", default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// What happened, for people.
    pub message: String,
}

/// The kinds of entries of an execution log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryType {
    /// The run was accepted.
    Created,
    /// It has a place, and begins.
    Started,
    /// The first step of a phase begins.
    PhaseStarted,
    /// Every step of a phase has ended.
    PhaseCompleted,
    /// A try of a step begins.
    StepStarted,
    /// A step has its output.
    StepCompleted,
    /// A try failed, and there will be another one.
    StepRetried,
    /// The step's `when` was false.
    StepSkipped,
    /// The step's last try failed.
    StepFailed,
    /// The caller cancelled the run.
    CancelRequested,
    /// The run completed.
    Completed,
    /// It failed.
    Failed,
    /// It failed because its time was over.
    Timeout,
    /// It is cancelled.
    Cancelled,
}

impl EntryType {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::PhaseStarted => "phase_started",
            Self::PhaseCompleted => "phase_completed",
            Self::StepStarted => "step_started",
            Self::StepCompleted => "step_completed",
            Self::StepRetried => "step_retried",
            Self::StepSkipped => "step_skipped",
            Self::StepFailed => "step_failed",
            Self::CancelRequested => "cancel_requested",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The ids of steps that a plan changes.
pub type Changed = BTreeSet<String>;
