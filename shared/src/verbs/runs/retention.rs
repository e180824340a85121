//! Runs that ended longer ago than they are kept: reported, and deleted with their steps, logs, inputs and results. Their generations and versions
//! have retention of their own.

use std::time::Duration;

use crate::app::App;
use crate::aws::RunRow;
use crate::clock::millis;
use crate::error::Error;
use crate::ids::{Organization, RunId, RunKey};
use crate::limits::{LIST_LIMIT_MAX, ORPHAN_AGE_MIN};
use crate::verbs::operate::retention::{is_past, report};

/// What an organization has of runs longer than they are kept.
#[derive(Debug, Default)]
pub struct RunRetention {
    /// Runs that are past their time, the newest first.
    pub runs: Vec<RunId>,
    /// Runs that have objects and no header: a start died before the run was stored, or a deletion beside one.
    pub objects: Vec<RunId>,
    /// What could not be deleted, and why.
    pub failed: Vec<(RunId, Error)>,
}

impl App {
    /// Finds, and with `apply` deletes, the runs of an organization that ended longer ago than `keep`, and objects that no run has.
    /// Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::Aws`]: the runs cannot be listed. What could not be deleted is reported.
    pub async fn retain_runs(
        &self,
        organization: &Organization,
        keep: Option<Duration>,
        apply: bool,
    ) -> Result<RunRetention, Error> {
        let mut found = RunRetention::default();
        if let Some(keep) = keep {
            self.expire_runs(organization, keep, apply, &mut found).await?;
        }
        // A start with a key may be repeated for a day, and stores a large input first.
        let newest = self.clock.now_ms() - millis(ORPHAN_AGE_MIN);
        for run in self.blobs.runs(organization).await?.into_iter().filter(|run| run.created_ms() <= newest) {
            let key = RunKey::new(organization.clone(), run);
            if self.records.run(&key).await?.is_none() {
                let removed = if apply { self.delete_objects_of_run(&key).await } else { Ok(()) };
                report(&mut found.objects, &mut found.failed, key.run, removed);
            }
        }
        Ok(found)
    }

    async fn expire_runs(
        &self,
        organization: &Organization,
        keep: Duration,
        apply: bool,
        found: &mut RunRetention,
    ) -> Result<(), Error> {
        let before_ms = self.clock.now_ms().saturating_sub(millis(keep));
        // What was started later has not ended before.
        let mut after = RunId::first_at(before_ms);
        loop {
            let page = self.records.runs(organization, Some(&after), LIST_LIMIT_MAX).await?;
            for id in page.runs.iter().filter(|row| is_past(row.ended_at.as_deref(), before_ms)).map(RunRow::id) {
                let key = RunKey::new(organization.clone(), id.clone());
                let removed = if apply { self.delete_run(&key).await } else { Ok(()) };
                report(&mut found.runs, &mut found.failed, key.run, removed);
            }
            match page.last {
                Some(last) if page.has_more => after = last,
                _ => return Ok(()),
            }
        }
    }
}
