//! `sweep`: finds what stands still, in the sparse index of open generations, and sets it going again, or ends it.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::Instrument;

use crate::app::App;
use crate::aws::Meta;
use crate::clock::{millis, millis_of};
use crate::error::Error;
use crate::generation::job::StreamJob;
use crate::ids::{GenerationId, GenerationKey};
use crate::limits::{COMPACTIONS_OF_A_SWEEP_MAX, OPEN_SHARDS, OVERTIME_GRACE, PENDING_MAX, SWEEP_BACKOFF, SWEEP_BACKOFF_MAX};
use crate::log::chunk::Chunk;
use crate::telemetry::{self, generation_span, record_span_fields};

/// Generations looked at side by side.
const CONCURRENCY: usize = 32;
/// What is under way when a sweep has to stop gets this long. The next sweep finds again what was not done.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Generations that have not ended.
    pub open: u64,
    /// How many of them were looked at. Fewer than `open`: the time was over, and the next sweep goes on there.
    pub looked_at: u64,
    /// Streamed again: their invoke was lost, or their writer is gone. `stream` goes on with them, or ends them.
    pub streamed: u64,
    /// Compacted: their log had ended, and nobody had noticed.
    pub compacted: u64,
    /// Ended: they were over their time, whatever their writer was doing.
    pub timed_out: u64,
    /// Could not be looked at, or not be helped; the log says why.
    pub errors: u64,
    /// The age of the oldest open generation in seconds.
    pub oldest_seconds: u64,
}

enum Found {
    Well,
    Streamed,
    Compacted,
    TimedOut,
}

impl App {
    /// Looks at every generation that has not ended, the oldest first. What one of them refuses does not keep the others.
    /// Nothing new is begun once `stop` is ready; the next sweep begins with what this one did not reach.
    ///
    /// # Errors
    /// [`Error::Aws`]: the index cannot be read.
    pub async fn sweep(&self, stop: impl Future<Output = ()> + Send) -> Result<Swept, Error> {
        let shards = futures::future::try_join_all((0..OPEN_SHARDS).map(|shard| self.records.open(shard))).await?;
        let mut open: Vec<GenerationKey> = shards.into_iter().flatten().collect();
        // Ids sort by their time.
        open.sort_by(|left, right| left.generation.cmp(&right.generation));
        let oldest_ms = open.first().map_or(0, |key| self.clock.now_ms() - key.generation.created_ms());
        let mut swept =
            Swept { open: open.len() as u64, oldest_seconds: (oldest_ms / 1_000).try_into().unwrap_or(0), ..Swept::default() };
        let cursor = self.records.sweep_cursor().await?;
        if let Some(cursor) = &cursor {
            let reached = open.partition_point(|key| key.generation <= *cursor);
            open.rotate_left(reached);
        }
        let last = self.look_at_all(open, stop, &mut swept).await;
        let next = last.or_else(|| cursor.clone()).filter(|_| swept.looked_at < swept.open);
        if next != cursor {
            self.records.set_sweep_cursor(next.as_ref()).await?;
        }
        tracing::info!(
            name: telemetry::SWEEP,
            target: telemetry::TARGET,
            open_generations = swept.open,
            looked_at = swept.looked_at,
            streamed_again = swept.streamed,
            compacted_late = swept.compacted,
            timed_out = swept.timed_out,
            not_swept = swept.errors,
            oldest_open_seconds = swept.oldest_seconds,
            "A sweep is done."
        );
        Ok(swept)
    }

    /// The last one that was looked at.
    async fn look_at_all(
        &self,
        open: Vec<GenerationKey>,
        stop: impl Future<Output = ()> + Send,
        swept: &mut Swept,
    ) -> Option<GenerationId> {
        let stop = stop.shared();
        let compactions = Arc::new(Semaphore::new(COMPACTIONS_OF_A_SWEEP_MAX));
        let is_time = || stop.clone().now_or_never().is_none();
        let (mut last, mut open) = (None, open.into_iter());
        let all = async {
            let mut looks = FuturesUnordered::new();
            loop {
                while looks.len() < CONCURRENCY && is_time() {
                    let Some(key) = open.next() else { break };
                    last = Some(key.generation.clone());
                    swept.looked_at += 1;
                    looks.push(look_at(self.clone(), key, Arc::clone(&compactions)));
                }
                match looks.next().await {
                    Some(found) => swept.note(found.as_ref()),
                    None => break,
                }
            }
        };
        tokio::select! {
            () = all => {}
            () = stop.clone().then(|()| sleep(STOP_PATIENCE)) => {
                tracing::warn!("A sweep was stopped in its work; the next one goes on.");
            }
        }
        last
    }

    async fn take_up(&self, key: &GenerationKey, compactions: &Semaphore) -> Result<Found, Error> {
        let (newest, meta) = futures::try_join!(self.buffer.newest(key), self.buffer.meta(key))?;
        let now = self.clock.now_ms();
        let has_ended = newest.as_ref().is_some_and(|chunk| chunk.end().is_some());
        let is_over_time = |since: i64| now >= since + millis(self.config.timeouts.generation + OVERTIME_GRACE);
        // The record is never older than the id.
        if !has_ended && !is_over_time(key.generation.created_ms()) && self.is_alive(newest.as_ref(), meta.as_ref()) {
            return Ok(Found::Well);
        }
        // After the buffer: one that is deleted once it was compacted must not look like one that has not begun.
        let Some(record) = self.records.find(key).await?.filter(|record| record.outcome.is_none()) else {
            return Ok(Found::Well);
        };
        record_span_fields(record.request_id.as_deref(), &record.provider, &record.model);
        if let Some(ended) = newest.as_ref().filter(|chunk| chunk.end().is_some()) {
            if now < ended.at_ms + millis(PENDING_MAX) {
                return Ok(Found::Well);
            }
            let _permit = compactions.acquire().await;
            return match self.compact(key, "sweep").await {
                Ok(_) => Ok(Found::Compacted),
                // Purged in the meantime.
                Err(Error::NotFound(_)) => Ok(Found::Well),
                Err(error) => Err(error),
            };
        }
        let created = millis_of(&record.created_at).unwrap_or_default();
        if is_over_time(created) {
            return Ok(if self.end_over_time(key, &record, "sweep").await? { Found::TimedOut } else { Found::Well });
        }
        let is_fresh = meta.as_ref().is_none_or(|meta| meta.attempt == 0) && now < created + millis(PENDING_MAX);
        if is_fresh || self.is_alive(newest.as_ref(), meta.as_ref()) {
            return Ok(Found::Well);
        }
        self.invoke_again(key, meta.as_ref(), now).await
    }

    fn is_alive(&self, newest: Option<&Chunk>, meta: Option<&Meta>) -> bool {
        self.is_writer_alive(meta, newest.map(|chunk| (chunk.writer.clone(), chunk.at_ms)).as_ref())
    }

    /// Invokes `stream`, unless that was done so lately that the invoke may still be waiting for its turn.
    async fn invoke_again(&self, key: &GenerationKey, meta: Option<&Meta>, now: i64) -> Result<Found, Error> {
        let before = meta.map_or(0, |meta| meta.sweeps);
        if meta.and_then(|meta| meta.swept_at).is_some_and(|at| now < at + millis(back_off(before))) {
            return Ok(Found::Well);
        }
        let sweeps = before.saturating_add(1);
        // Before the invoke: lost after it, the note would be missing, and the next minute would invoke again.
        if !self.buffer.note_sweep(key, meta, sweeps, now, self.buffer_expiry(meta)).await? {
            return Ok(Found::Well);
        }
        tracing::warn!(sweeps, "A generation stands still; it is invoked again.");
        self.invoker.stream(&StreamJob::new(key)).await?;
        Ok(Found::Streamed)
    }
}

async fn look_at(app: App, key: GenerationKey, compactions: Arc<Semaphore>) -> Option<Found> {
    let span = generation_span!("sweep", key);
    let look = async {
        let found = app.take_up(&key, &compactions).await;
        found.inspect_err(|error| tracing::error!(%error, "A generation could not be swept.")).ok()
    };
    look.instrument(span).await
}

impl Swept {
    fn note(&mut self, found: Option<&Found>) {
        match found {
            Some(Found::Well) => {}
            Some(Found::Streamed) => self.streamed += 1,
            Some(Found::Compacted) => self.compacted += 1,
            Some(Found::TimedOut) => self.timed_out += 1,
            None => self.errors += 1,
        }
    }
}

/// How long after the last of so many invokes the next one follows.
fn back_off(sweeps: u32) -> Duration {
    let doubled = SWEEP_BACKOFF.saturating_mul(2_u32.saturating_pow(sweeps.saturating_sub(1)));
    doubled.min(SWEEP_BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invokes_again_are_further_apart_each_time_up_to_a_bound() {
        let minutes: Vec<u64> = (1..8).map(|sweeps| back_off(sweeps).as_secs().div_ceil(60)).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(back_off(u32::MAX), SWEEP_BACKOFF_MAX);
        assert!(back_off(1) < Duration::from_mins(1), "the sweep a minute later must find it due");
    }
}
