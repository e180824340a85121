//! A batch: many generations that are started, followed and reported as one. The rules are pure; [`crate::aws`] stores what they say.

pub mod body;
pub mod plan;
pub mod report;
pub mod request;

use serde::{Deserialize, Serialize};

use crate::generation::usage::Usage;
use crate::generation::{Failure, Status};
use crate::ids::{GenerationId, SubjectId};

/// The status of a batch. The last three are terminal and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// Accepted; no item has been started.
    Pending,
    /// Items are started as places become free.
    Running,
    /// It was cancelled, or too many items failed: nothing is started any more, and what runs is ended.
    Cancelling,
    /// Every item has ended, however: the counts say how.
    Completed,
    /// Every item has ended after the caller cancelled the batch.
    Cancelled,
    /// Every item has ended after more of them had failed than `max_failed` allows.
    Failed,
}

impl BatchStatus {
    /// Whether the status is final.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }

    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// The status of an item. The last four are terminal and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// It waits for a place.
    Pending,
    /// Its generation has been created, and has no outcome yet.
    Running,
    /// Its generation completed.
    Completed,
    /// Its last try failed, or ended as incomplete.
    Failed,
    /// The batch was cancelled before it was started, or its generation was cancelled.
    Cancelled,
    /// It was not to be started: `only_missing`, and its subject has a version.
    Skipped,
}

impl ItemStatus {
    /// Each of them.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Skipped];

    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// Whether the status is final.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// How many items have each status. Their sum is the batch's number of items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// [`ItemStatus::Pending`].
    pub pending: u32,
    /// [`ItemStatus::Running`].
    pub running: u32,
    /// [`ItemStatus::Completed`].
    pub completed: u32,
    /// [`ItemStatus::Failed`].
    pub failed: u32,
    /// [`ItemStatus::Cancelled`].
    pub cancelled: u32,
    /// [`ItemStatus::Skipped`].
    pub skipped: u32,
}

impl Counts {
    /// All items.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.pending + self.running + self.completed + self.failed + self.cancelled + self.skipped
    }

    /// Of items with these statuses.
    #[must_use]
    pub fn all(statuses: impl IntoIterator<Item = ItemStatus>) -> Self {
        let mut counts = Self::default();
        for status in statuses {
            *counts.of(status) += 1;
        }
        counts
    }

    /// Items with this status.
    #[must_use]
    pub const fn with(&self, status: ItemStatus) -> u32 {
        match status {
            ItemStatus::Pending => self.pending,
            ItemStatus::Running => self.running,
            ItemStatus::Completed => self.completed,
            ItemStatus::Failed => self.failed,
            ItemStatus::Cancelled => self.cancelled,
            ItemStatus::Skipped => self.skipped,
        }
    }

    fn of(&mut self, status: ItemStatus) -> &mut u32 {
        match status {
            ItemStatus::Pending => &mut self.pending,
            ItemStatus::Running => &mut self.running,
            ItemStatus::Completed => &mut self.completed,
            ItemStatus::Failed => &mut self.failed,
            ItemStatus::Cancelled => &mut self.cancelled,
            ItemStatus::Skipped => &mut self.skipped,
        }
    }

    /// Counts an item under its new status.
    fn move_item(&mut self, from: ItemStatus, to: ItemStatus) {
        *self.of(from) = self.of(from).saturating_sub(1);
        *self.of(to) += 1;
    }
}

/// What decides how a batch goes on: the part of its header that its items' ends change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Its status.
    pub status: BatchStatus,
    /// Its items.
    pub counts: Counts,
    /// Of the running items, those whose log has ended: they have no place any more, and no outcome yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ending: Vec<u32>,
    /// Items before this index have been started, skipped or cancelled, but for those in `again`.
    pub next: u32,
    /// Items that are to be started once more, in the order in which they failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<u32>,
    /// How many items may have a place at once. At least 1.
    pub concurrency: u32,
    /// How often an item may be started. At least 1.
    pub tries: u32,
    /// More failed items than this end the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failed: Option<u32>,
    /// Counts the changes: each is written where the one before it is stored.
    pub revision: u64,
}

/// An item, as far as the rules need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its place among the items, from 0.
    pub index: u32,
    /// Its status.
    pub status: ItemStatus,
    /// The generation of its newest try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationId>,
    /// Tries begun.
    #[serde(rename = "try", default)]
    pub tries: u32,
}

/// An item as callers see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ItemView {
    /// Its place among the items, from 0.
    pub index: u32,
    /// The caller's name of it.
    pub custom_id: Option<String>,
    /// What it is to be the next version of.
    pub subject: Option<SubjectId>,
    /// Its status.
    pub status: ItemStatus,
    /// The generation of its newest try.
    pub generation: Option<GenerationId>,
    /// Tries begun.
    pub tries: u32,
    /// When its newest try was started, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    pub ended_at: Option<String>,
    /// Why its newest try that has ended did not complete.
    pub error: Option<Failure>,
    /// The tokens of its tries that have ended.
    pub usage: Usage,
    /// Micro-dollars of them.
    pub cost: u64,
}

/// What happened to an item's generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Its log has ended: its writer has time for another one.
    LogEnded,
    /// It has its outcome. `is_retryable`: the same request may succeed later.
    Ended {
        /// A terminal status.
        status: Status,
        /// Whether another try may help.
        is_retryable: bool,
    },
    /// It was deleted before it was counted.
    Deleted,
}
