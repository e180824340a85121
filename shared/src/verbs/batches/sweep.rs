//! `sweep` of batches: what neither a rider nor `settle` has taken on. It counts nothing itself: it tells the batch of generations that have
//! their outcome, as `settle` does.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};

use crate::app::App;
use crate::batches::{BatchStatus, ItemStatus};
use crate::clock::{millis, millis_of};
use crate::error::Error;
use crate::ids::{BatchKey, GenerationKey};
use crate::verbs::batches::advance::Told;
use crate::verbs::batches::follow::told;

/// Batches that are looked at side by side.
const CONCURRENCY: usize = 8;
/// After this long, a batch whose items were never all stored is deleted: its start has failed, and no function runs for so long.
const PREPARING_MAX: Duration = Duration::from_mins(30);

/// What a sweep found of batches, or of runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct SweptJobs {
    /// Those that have not ended.
    pub open: u64,
    /// Those whose check failed; the log has the reasons.
    pub errors: u64,
    /// Those that should have ended by themselves minutes ago.
    pub over_time: u64,
}

impl App {
    /// Takes every open batch on that has not changed for `idle`. No check begins once `stop` says so; an error of one does not affect the
    /// others.
    pub(in crate::verbs) async fn sweep_batches(
        &self,
        open: Vec<BatchKey>,
        idle: Duration,
        is_time: impl Fn() -> bool + Sync,
    ) -> SweptJobs {
        let mut swept = SweptJobs { open: open.len() as u64, ..SweptJobs::default() };
        let checks = open.into_iter().take_while(|_| is_time()).map(|key| {
            async move {
                let checked = self.sweep_batch(&key, idle).await;
                checked.inspect_err(|error| tracing::error!(batch = %key.batch, %error, "A batch could not be swept.")).is_err()
            }
            .boxed()
        });
        let mut checks = stream::iter(checks).buffer_unordered(CONCURRENCY);
        while let Some(has_failed) = checks.next().await {
            swept.errors += u64::from(has_failed);
        }
        swept
    }

    async fn sweep_batch(&self, key: &BatchKey, idle: Duration) -> Result<(), Error> {
        let Some(row) = self.records.batch(key).await? else { return Ok(()) };
        let unchanged = self.clock.now_ms() - millis_of(&row.updated_at).unwrap_or_default();
        if row.is_preparing {
            return if unchanged >= millis(PREPARING_MAX) { self.remove_batch(key).await } else { Ok(()) };
        }
        if unchanged < millis(idle) {
            return Ok(());
        }
        let ended = self.ended_items(key).await?;
        let advanced = self.advance(key, &ended).await?;
        self.ride_on(&key.organization, advanced.started).await;
        if advanced.has_too_many_failed || row.progress.status == BatchStatus::Cancelling {
            self.cancel_items(key).await?;
        }
        Ok(())
    }

    /// The running items whose generation has its outcome, or is gone.
    async fn ended_items(&self, key: &BatchKey) -> Result<Vec<Told>, Error> {
        let running = self.records.items_with(key, &[ItemStatus::Running]).await?;
        let of = |generation| GenerationKey::new(key.organization.clone(), generation);
        let running: Vec<(u32, GenerationKey)> =
            running.into_iter().filter_map(|row| Some((row.item.index, of(row.item.generation?)))).collect();
        let keys: Vec<GenerationKey> = running.iter().map(|(_, key)| key.clone()).collect();
        let records = self.records.find_all(&keys).await?;
        let ended = running.into_iter().filter_map(|(index, key)| match records.iter().find(|record| record.key() == key) {
            Some(record) => told(record, index),
            None => Some(Told::of_deleted(index, &key.generation)),
        });
        Ok(ended.collect())
    }
}
