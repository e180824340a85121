//! `tail` of a batch: its events, live.
//!
//! Each item and the header name the revision at which they changed last. So a reader who knows a revision is told of what has changed since
//! then, as it is now: steps between two looks may be one event.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use crate::app::App;
use crate::aws::{BatchRow, ItemRow};
use crate::batches::{BatchStatus, ItemStatus, ItemView};
use crate::error::Error;
use crate::ids::BatchKey;
use crate::verbs::batches::view::{BatchView, CountsView};

/// The wait before a batch is looked at again that has changed, and the longest one, where it has not.
const WAIT: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Items that are read at once.
const PAGE: usize = 1_000;

/// An event of a batch.
#[derive(Debug, Clone)]
pub struct BatchEvent {
    /// `started`, `item`, `progress`, `completed`, `cancelled` or `failed`.
    pub name: &'static str,
    /// What it tells.
    pub data: BatchEventData,
    /// The revision of the batch that is told whole with this event; `None`: more events of the same revision follow.
    pub id: Option<u64>,
}

/// What an event of a batch tells.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum BatchEventData {
    /// The batch: when reading begins, and at its end.
    Batch(Box<BatchView>),
    /// An item that has changed.
    Item(Box<ItemView>),
    /// The counts.
    Progress {
        /// The batch's status.
        status: BatchStatus,
        /// How many items have each status.
        counts: CountsView,
        /// Items that have ended, of all: 0 to 100.
        percent: u8,
        /// Micro-dollars so far.
        cost: u64,
        /// The batch's revision.
        revision: u64,
    },
}

/// Follows a batch.
pub struct BatchTail {
    app: App,
    key: BatchKey,
    /// What the reader knows.
    seen: Option<u64>,
    /// Items that may change; `None`: none were read yet.
    watched: Option<BTreeSet<u32>>,
    /// Items from here on have not been started.
    next: u32,
    has_begun: bool,
    has_ended: bool,
}

impl App {
    /// Follows a batch behind the revision `after`, or from its beginning.
    ///
    /// # Errors
    /// [`Error::BatchNotFound`]; [`Error::Aws`].
    pub async fn batch_tail(&self, key: &BatchKey, after: Option<u64>) -> Result<BatchTail, Error> {
        let row = self.batch_row(key).await?;
        let is_told = after.is_some_and(|after| after >= row.progress.revision);
        Ok(BatchTail {
            app: self.clone(),
            key: key.clone(),
            seen: after,
            watched: None,
            next: 0,
            has_begun: after.is_some(),
            has_ended: is_told && row.progress.status.is_terminal(),
        })
    }
}

impl BatchTail {
    /// Whether the reader knows all there is, for good.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Waits for the next events; `None`: the last one has been told. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::BatchNotFound`]: it was deleted. [`Error::Aws`].
    pub async fn next(&mut self) -> Result<Option<Vec<BatchEvent>>, Error> {
        if self.has_ended {
            return Ok(None);
        }
        let mut wait = WAIT;
        loop {
            let row = self.app.batch_row(&self.key).await?;
            if self.seen.is_none_or(|seen| seen < row.progress.revision) {
                return self.changes(row).await.map(Some);
            }
            sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    async fn changes(&mut self, row: BatchRow) -> Result<Vec<BatchEvent>, Error> {
        let mut rows = self.items(&row).await?;
        let seen = self.seen.unwrap_or(0);
        rows.retain(|item| item.changed > seen);
        rows.sort_by_key(|item| item.changed);
        let mut events = Vec::with_capacity(rows.len() + 2);
        let revision = row.progress.revision;
        let view = BatchView::from(row);
        if !self.has_begun {
            events.push(BatchEvent { name: "started", data: BatchEventData::Batch(Box::new(view.clone())), id: None });
        }
        let item = |row| BatchEvent { name: "item", data: BatchEventData::Item(Box::new(ItemView::from(row))), id: None };
        events.extend(rows.into_iter().map(item));
        let (status, counts, percent, cost) = (view.status, view.counts, view.percent, view.cost);
        let is_last = status.is_terminal();
        let progress = BatchEventData::Progress { status, counts, percent, cost, revision };
        events.push(BatchEvent { name: "progress", data: progress, id: (!is_last).then_some(revision) });
        if is_last {
            events.push(BatchEvent { name: status.name(), data: BatchEventData::Batch(Box::new(view)), id: Some(revision) });
        }
        (self.seen, self.has_begun, self.has_ended) = (Some(revision), true, is_last);
        Ok(events)
    }

    /// The items that may have changed.
    async fn items(&mut self, batch: &BatchRow) -> Result<Vec<ItemRow>, Error> {
        let records = &self.app.records;
        let mut rows = Vec::new();
        if let Some(watched) = &self.watched {
            let indexes: Vec<u32> = watched.iter().copied().chain(self.next..batch.progress.next).collect();
            rows = records.items_at(&self.key, &indexes).await?;
        } else {
            let mut from = 0;
            while from == 0 || from < batch.progress.next {
                let page = records.items_from(&self.key, from, PAGE).await?;
                let Some(last) = page.last() else { break };
                from = last.item.index + 1;
                rows.extend(page);
            }
        }
        let is_waiting = |row: &&ItemRow| matches!(row.item.status, ItemStatus::Pending | ItemStatus::Running);
        let next = batch.progress.next;
        let watched = rows.iter().filter(is_waiting).map(|row| row.item.index).filter(|index| *index < next).collect();
        (self.watched, self.next) = (Some(watched), next);
        Ok(rows)
    }
}
