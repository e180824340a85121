//! Which generations a list has.

use crate::generation::Status;
use crate::ids::{BatchId, GenerationId, SubjectId};

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    #[default]
    Descending,
}

/// Which generations a list has. The default: all, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Those behind this one, in the order of the list.
    pub after: Option<GenerationId>,
    /// How many, 1 to [`LIST_LIMIT_MAX`].
    pub limit: Option<usize>,
    /// The order.
    pub order: Order,
    /// Those created at this moment or later, in milliseconds.
    pub since_ms: Option<i64>,
    /// Those created before this moment, in milliseconds.
    pub until_ms: Option<i64>,
    /// Those with this status.
    pub status: Option<Status>,
    /// Those of this provider.
    pub provider: Option<String>,
    /// Those of this model.
    pub model: Option<String>,
    /// Those about this subject.
    pub subject: Option<SubjectId>,
    /// Those of this batch.
    pub batch: Option<BatchId>,
    /// Those whose `request_metadata` has these entries: a text, or any other value by its JSON.
    pub metadata: Vec<(String, String)>,
}

impl ListQuery {
    /// Whether it leaves out some generations of its time.
    #[must_use]
    pub const fn has_filter(&self) -> bool {
        self.status.is_some()
            || self.provider.is_some()
            || self.model.is_some()
            || self.subject.is_some()
            || self.batch.is_some()
            || !self.metadata.is_empty()
    }
}
