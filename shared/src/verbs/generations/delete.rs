//! `delete`: removes a generation that has ended, with all its data.

use std::time::Duration;

use tokio::time::sleep;

use crate::app::App;
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::log::chunk::Chunk;
use crate::retry::{self, BackoffBuilder};
use crate::verbs::operate::purge::Purged;

/// How often, and how many times, a delete looks for the outcome of a generation whose log has ended: 5 to 11 s. A generation that
/// is deleted before its compaction would be compacted again.
const OUTCOME_WAIT: Duration = Duration::from_millis(50);
const OUTCOME_WAIT_MAX: Duration = Duration::from_secs(1);
const OUTCOME_RETRIES: usize = 14;

impl App {
    /// Deletes a generation that has ended, as [`App::purge`] does, after its compaction.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotEnded`] while it is being written, and where its compaction takes long; [`Error::Aws`].
    pub async fn delete(&self, key: &GenerationKey) -> Result<Purged, Error> {
        let (record, newest) = self.newest(key, self.records.get(key).await?).await?;
        if record.outcome.is_none() && newest.as_ref().and_then(Chunk::end).is_none() {
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
