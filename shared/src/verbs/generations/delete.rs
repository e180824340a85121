//! `delete`: removes a generation that has ended, with all its data; or its buffer alone.

use std::time::Duration;

use tokio::time::sleep;

use crate::app::App;
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::retry::{self, BackoffBuilder};
use crate::verbs::generations::view::has_ended;
use crate::verbs::operate::purge::Purged;

/// How often, and how many times, a delete looks for the outcome of a generation whose log has ended: 5 to 11 s. A generation that
/// is deleted before its compaction would be compacted again.
const OUTCOME_WAIT: Duration = Duration::from_millis(50);
const OUTCOME_WAIT_MAX: Duration = Duration::from_secs(1);
const OUTCOME_RETRIES: usize = 14;

impl App {
    /// Deletes the buffer of a generation whose outcome is stored: its log and its meta item. Returns how many items there were.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotEnded`]: the bucket does not have its log yet; [`Error::Aws`].
    pub async fn delete_buffer(&self, key: &GenerationKey) -> Result<u64, Error> {
        if self.records.get(key).await?.outcome.is_none() {
            return Err(Error::NotEnded(key.generation.to_string(), "its log is all there is of it"));
        }
        self.buffer.delete(key).await
    }

    /// Deletes a generation that has ended, as [`App::purge`] does, after its compaction.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotEnded`] while it is being written, and where its compaction takes long; [`Error::Aws`].
    pub async fn delete(&self, key: &GenerationKey) -> Result<Purged, Error> {
        let (record, newest) = self.newest(key, self.records.get(key).await?).await?;
        if !has_ended(&record, newest.as_ref()) {
            return Err(Error::NotEnded(key.generation.to_string(), "cancel it first"));
        }
        let mut waits = retry::exponential(OUTCOME_WAIT, OUTCOME_WAIT_MAX, OUTCOME_RETRIES).build();
        while self.records.get(key).await?.outcome.is_none() {
            let not_ended = || Error::NotEnded(key.generation.to_string(), "its end is still being stored");
            sleep(waits.next().ok_or_else(not_ended)?).await;
        }
        self.purge(key).await
    }
}
