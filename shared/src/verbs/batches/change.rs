//! `cancel`, `resize` and `delete` of a batch.

use futures::{FutureExt as _, StreamExt as _, stream};

use crate::app::App;
use crate::aws::BatchRow;
use crate::batches::{BatchStatus, ItemStatus, Progress, plan};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::ids::{BatchKey, GenerationKey};
use crate::retry::{self, BackoffBuilder};
use crate::verbs::batches::view::BatchView;

/// Generations that are cancelled side by side.
const CANCELS: usize = 16;

impl App {
    /// Cancels a batch: nothing more is started, and what runs is cancelled. It is `cancelled` once that has ended. One that has ended stays
    /// as it is.
    ///
    /// # Errors
    /// [`Error::BatchNotFound`]; [`Error::BatchContended`]; [`Error::Aws`]. The same call may be made again.
    pub async fn cancel_batch(&self, key: &BatchKey) -> Result<BatchView, Error> {
        self.change_batch(key, |row| Ok(plan::cancel(&row.progress))).await?;
        self.cancel_items(key).await?;
        self.batch(key).await
    }

    /// Ends what waits and what runs of a batch that is being cancelled.
    pub(in crate::verbs) async fn cancel_items(&self, key: &BatchKey) -> Result<(), Error> {
        self.advance(key, &[]).await?;
        let Some(batch) = self.records.batch(key).await?.filter(|row| row.progress.counts.running > 0) else { return Ok(()) };
        let running = self.records.items_with(key, &[ItemStatus::Running]).await?.into_iter();
        let generations =
            running.filter(|row| !batch.progress.ending.contains(&row.item.index)).filter_map(|row| row.item.generation);
        let cancels = generations.map(|generation| {
            let of = GenerationKey::new(key.organization.clone(), generation);
            async move {
                match self.cancel(&of).await {
                    // Those that have ended are counted as they have.
                    Ok(_) | Err(Error::AlreadyEnded(..) | Error::NotFound(_)) => {}
                    Err(error) => {
                        tracing::warn!(generation = %of.generation, %error, "An item was not cancelled; sweep does it.");
                    }
                }
            }
            .boxed()
        });
        stream::iter(cancels.collect::<Vec<_>>()).buffer_unordered(CANCELS).for_each(std::future::ready).await;
        Ok(())
    }

    /// Sets how many items of a batch have a place at once. More are started at once; fewer, once that many have ended.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: more than the organization may have running; [`Error::BatchNotFound`]; [`Error::BatchEnded`];
    /// [`Error::BatchContended`]; [`Error::Aws`].
    pub async fn resize_batch(&self, key: &BatchKey, concurrency: u32) -> Result<BatchView, Error> {
        if let Some(most) = self.quota(&key.organization).await?.running.filter(|most| u64::from(concurrency) > *most) {
            let expected = format!("must be at most {most}, the organization's limit of running generations");
            return Err(Error::invalid("/concurrency", expected));
        }
        let resized = |row: &BatchRow| match row.progress.status {
            BatchStatus::Pending | BatchStatus::Running => Ok(plan::resize(&row.progress, concurrency)),
            ended => Err(Error::BatchEnded(key.batch.to_string(), ended.name())),
        };
        self.change_batch(key, resized).await?;
        let started = self.advance(key, &[]).await?.started;
        self.ride_on(&key.organization, started).await;
        self.batch(key).await
    }

    /// Deletes a batch that has ended, with its items and their requests. Its generations and versions stay.
    ///
    /// # Errors
    /// [`Error::BatchNotFound`]; [`Error::BatchNotEnded`]; [`Error::Aws`], after which the same call deletes the rest.
    pub async fn delete_batch(&self, key: &BatchKey) -> Result<(), Error> {
        if !self.batch_row(key).await?.progress.status.is_terminal() {
            return Err(Error::BatchNotEnded(key.batch.to_string()));
        }
        self.remove_batch(key).await
    }

    /// Deletes all that is stored of a batch itself.
    pub(in crate::verbs) async fn remove_batch(&self, key: &BatchKey) -> Result<(), Error> {
        let objects = self.blobs.of_batch(key).await?;
        self.blobs.delete_objects(&objects).await?;
        self.records.delete_batch(key).await?;
        tracing::info!(batch = %key.batch, organization = %key.organization, "A batch was deleted.");
        Ok(())
    }

    /// Replaces what a batch goes on by; nothing is written where `change` changes nothing.
    async fn change_batch(
        &self,
        key: &BatchKey,
        change: impl Fn(&BatchRow) -> Result<Option<Progress>, Error>,
    ) -> Result<(), Error> {
        let mut waits = retry::overtaken().build();
        loop {
            let mut row = self.batch_row(key).await?;
            let Some(progress) = change(&row)? else { return Ok(()) };
            let revision = std::mem::replace(&mut row.progress, progress).revision;
            row.updated_at = rfc3339(self.clock.now_ms());
            if self.records.replace_batch(key, revision, &row).await? {
                return Ok(());
            }
            let wait = waits.next().ok_or_else(|| Error::BatchContended(key.batch.to_string()))?;
            tokio::time::sleep(wait).await;
        }
    }
}
