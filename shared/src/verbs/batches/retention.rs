//! Batches that ended longer ago than they are kept: reported, and deleted with their items and requests. Their generations and versions have
//! retention of their own.

use std::time::Duration;

use crate::app::App;
use crate::aws::BatchRow;
use crate::clock::millis;
use crate::error::Error;
use crate::ids::{BatchId, BatchKey, Organization};
use crate::limits::LIST_LIMIT_MAX;
use crate::verbs::operate::retention::{is_past, report};

/// What an organization has of batches longer than they are kept.
#[derive(Debug, Default)]
pub struct BatchRetention {
    /// Batches that are past their time, the newest first.
    pub batches: Vec<BatchId>,
    /// What could not be deleted, and why.
    pub failed: Vec<(BatchId, Error)>,
}

impl App {
    /// Finds, and with `apply` deletes, the batches of an organization that ended longer ago than `keep`. Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::Aws`]: the batches cannot be listed. What could not be deleted is reported.
    pub async fn retain_batches(
        &self,
        organization: &Organization,
        keep: Duration,
        apply: bool,
    ) -> Result<BatchRetention, Error> {
        let mut found = BatchRetention::default();
        let before_ms = self.clock.now_ms().saturating_sub(millis(keep));
        // What was started later has not ended before.
        let mut after = BatchId::first_at(before_ms);
        loop {
            let page = self.records.batches(organization, Some(&after), LIST_LIMIT_MAX).await?;
            for id in page.batches.iter().filter(|row| is_past(row.ended_at.as_deref(), before_ms)).map(BatchRow::id) {
                let key = BatchKey::new(organization.clone(), id.clone());
                // What has ended never goes on again: nothing that was read can have changed.
                let removed = if apply { self.remove_batch(&key).await } else { Ok(()) };
                report(&mut found.batches, &mut found.failed, key.batch, removed);
            }
            match page.last {
                Some(last) if page.has_more => after = last,
                _ => return Ok(found),
            }
        }
    }
}
