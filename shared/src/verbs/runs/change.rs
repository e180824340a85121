//! `cancel` and `delete` of a run.

use crate::app::App;
use crate::error::Error;
use crate::ids::RunKey;
use crate::runs::plan::Act;
use crate::verbs::runs::view::RunView;

impl App {
    /// Cancels a run: nothing more is started, and what runs is cancelled. It is `cancelled` once that has ended. One that has ended stays as
    /// it is.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::RunContended`]; [`Error::Aws`]. The same call may be made again.
    pub async fn cancel_run(&self, key: &RunKey) -> Result<RunView, Error> {
        self.run_row(key).await?;
        Box::pin(self.take_on(key, &[], Act::Cancel)).await?;
        self.run(key).await
    }

    /// Deletes a run that has ended, with its input, its log and its result. Its generations and the version that it made stay.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::RunNotEnded`]; [`Error::Aws`], after which the same call deletes the rest.
    pub async fn delete_run(&self, key: &RunKey) -> Result<(), Error> {
        let row = self.run_row(key).await?;
        if !row.progress.status.is_terminal() {
            return Err(Error::RunNotEnded(key.run.to_string()));
        }
        // `settle` may not have come to it yet, and has nothing to make the version of once the result is gone.
        if row.result_subject.is_some() {
            self.settle_run(key).await?;
        }
        self.delete_objects_of_run(key).await?;
        self.records.delete_run(key).await?;
        tracing::info!(run = %key.run, organization = %key.organization, "A run was deleted.");
        Ok(())
    }

    /// Deletes what the bucket has of a run.
    pub(super) async fn delete_objects_of_run(&self, key: &RunKey) -> Result<(), Error> {
        let objects = self.blobs.of_run(key).await?;
        self.blobs.delete_objects(&objects).await
    }
}
