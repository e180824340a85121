//! `cancel`: an append like any other. Once it has answered, no further text appears, and the status never changes again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::error::Error;
use crate::generation::{Generation, Status};
use crate::hints::Topic;
use crate::ids::GenerationKey;
use crate::log::chunk::{Chunk, NextSlot};
use crate::log::event::{End, Event};
use crate::verbs::stream::Streamed;

/// How long a cancel tries for a slot against a writer that flushes as fast as it can. That writer is told, and stops.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

impl App {
    /// Cancels a generation. What was received is kept. Cancelling it again answers the same.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::AlreadyEnded`] for one that ended otherwise; [`Error::Aws`], after which the same cancel
    /// may be tried again.
    pub async fn cancel(&self, key: &GenerationKey) -> Result<Generation, Error> {
        let record = self.records.get(key).await?;
        if record.outcome.is_some() {
            return self.cancelled(key).await;
        }
        let meta = self.buffer.meta(key).await?;
        self.buffer.request_cancel(key, self.buffer_expiry(meta.as_ref())).await?;
        self.hints.tell(key, Topic::Meta);
        let give_up_at = Instant::now() + PATIENCE;
        loop {
            let newest = self.buffer.newest(key).await?;
            if newest.as_ref().is_some_and(|chunk| chunk.end().is_some()) {
                return self.cancelled(key).await;
            }
            // After the log: one that was compacted and deleted must not look like one that has not begun.
            if newest.is_none() && !self.is_open(key).await? {
                return self.cancelled(key).await;
            }
            let slot = newest.as_ref().map_or_else(NextSlot::default, Chunk::next_slot);
            let end = Event::Cancelled(End::default());
            if let Streamed::Ended(_) = self.append_end(key, slot, meta.as_ref(), end).await? {
                tracing::info!(generation = %key.generation, organization = %key.organization, "A generation was cancelled.");
                return self.cancelled(key).await;
            }
            if Instant::now() >= give_up_at {
                let message = "the writer took every slot".to_owned();
                return Err(Error::Aws { operation: "dynamodb PutItem", message });
            }
            sleep(PAUSE).await;
        }
    }

    /// The generation, if it was cancelled.
    async fn cancelled(&self, key: &GenerationKey) -> Result<Generation, Error> {
        let (record, newest) = self.newest(key, self.records.get(key).await?).await?;
        let ended = newest.as_ref().and_then(|chunk| chunk.end()).map_or(record.status, |(status, _)| status);
        if ended == Status::Cancelled {
            return Ok(Generation::new(record, newest.as_ref()));
        }
        Err(Error::AlreadyEnded(key.generation.to_string(), ended.as_str()))
    }
}
