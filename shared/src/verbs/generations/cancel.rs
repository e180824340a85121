//! `cancel`: the writer appends the terminal event together with what it has received; where it does not in time, or there is none,
//! the cancel does. Once it has succeeded, no further text appears and the status never changes again.

use std::time::Duration;

use tokio::time::sleep;

use crate::app::App;
use crate::aws::Meta;
use crate::error::Error;
use crate::generation::{Generation, Status};
use crate::ids::GenerationKey;
use crate::log::chunk::{Chunk, NextSlot};
use crate::log::event::{End, Event};
use crate::retry::{BackoffBuilder, Exponential, Retryable, exponential};
use crate::verbs::stream::Streamed;

/// How long a cancel tries for a slot against a writer that flushes as fast as it can. The writer stops within
/// [`crate::limits::META_READ_EVERY`].
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a cancel leaves the end to the writer. The writer sees the request within [`crate::limits::META_READ_EVERY`], and then
/// stores what it has.
const WRITER_PATIENCE: Duration = Duration::from_secs(3);
/// The wait before the log is read again; it doubles.
const WRITER_WAIT: Duration = Duration::from_millis(20);
/// The longest of those waits, without its jitter.
const WRITER_WAIT_MAX: Duration = Duration::from_millis(400);
/// The wait after the first lost slot; it doubles.
const BACKOFF: Duration = Duration::from_millis(2);
/// The longest of those waits, without its jitter.
const BACKOFF_MAX: Duration = Duration::from_millis(256);

impl App {
    /// Cancels a generation. What was received is kept, unless its writer does not answer within three seconds: then what it had not
    /// stored yet is lost. Cancelling again returns the same.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::AlreadyEnded`] for one that ended otherwise; [`Error::Contended`] and [`Error::Aws`], after
    /// which the same cancel may be tried again.
    pub async fn cancel(&self, key: &GenerationKey) -> Result<Generation, Error> {
        let record = self.records.get(key).await?;
        if record.outcome.is_none() {
            let meta = self.buffer.meta(key).await?;
            self.buffer.request_cancel(key, self.buffer_expiry(meta.as_ref())).await?;
            self.hints.send(key);
            self.wait_for_writer(key, meta.as_ref()).await?;
            let append = || self.append_cancelled(key, meta.as_ref());
            let is_own = append.retry(schedule()).when(|error| matches!(error, Error::Contended(_))).await?;
            if is_own {
                // Read again: its writer may have recorded a response, and ended, in the meantime.
                let meta = self.buffer.meta_now(key).await.unwrap_or(meta);
                self.release_upstream(key, meta.as_ref()).await;
            }
        }
        self.cancelled(key).await
    }

    /// Waits until the writer has ended the log. Returns at once where no writer is alive, and at the latest after
    /// [`WRITER_PATIENCE`].
    async fn wait_for_writer(&self, key: &GenerationKey, meta: Option<&Meta>) -> Result<(), Error> {
        let mut waits = exponential(WRITER_WAIT, WRITER_WAIT_MAX, usize::MAX).with_total_delay(Some(WRITER_PATIENCE)).build();
        loop {
            let newest = self.buffer.newest(key).await?;
            let written = newest.as_ref().map(|chunk| (chunk.writer.clone(), chunk.at_ms));
            let has_ended = newest.is_some_and(|chunk| chunk.end().is_some());
            match waits.next().filter(|_| !has_ended && self.is_writer_alive(meta, written.as_ref())) {
                Some(wait) => sleep(wait).await,
                None => return Ok(()),
            }
        }
    }

    /// Appends the terminal event; `false`: the log has ended.
    async fn append_cancelled(&self, key: &GenerationKey, meta: Option<&Meta>) -> Result<bool, Error> {
        let newest = self.buffer.newest(key).await?;
        let has_ended = match &newest {
            Some(chunk) => chunk.end().is_some(),
            // Read after the log: one that was compacted and deleted must not look like one that has not begun.
            None => !self.is_open(key).await?,
        };
        if has_ended {
            return Ok(false);
        }
        let slot = newest.as_ref().map_or_else(NextSlot::default, Chunk::next_slot);
        match self.append_end(key, slot, meta, Event::Cancelled(End::default())).await? {
            Streamed::Ended(_) => {
                tracing::info!(generation = %key.generation, organization = %key.organization, "A generation was cancelled.");
                Ok(true)
            }
            _ => Err(Error::Contended(key.generation.to_string())),
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

/// The waits between the tries for a slot.
const fn schedule() -> Exponential {
    exponential(BACKOFF, BACKOFF_MAX, usize::MAX).with_total_delay(Some(PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_slots_are_retried_some_dozen_times_within_the_patience() {
        for _ in 0..100 {
            let waits: Vec<Duration> = schedule().build().collect();
            // 8 waits up to the longest, and then 37 to 76 of it.
            assert!((43..=86).contains(&waits.len()), "{} waits", waits.len());
            let whole: Duration = waits.iter().sum();
            assert!(whole <= PATIENCE && whole + BACKOFF_MAX >= PATIENCE, "{whole:?}");
        }
    }
}
