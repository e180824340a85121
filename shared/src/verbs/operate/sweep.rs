//! `sweep`: finds generations that have stalled, in the sparse index of open ones, and restarts or ends them.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::Instrument;

use crate::app::App;
use crate::aws::{Meta, OpenJobs};
use crate::clock::{millis, millis_of};
use crate::error::Error;
use crate::generation::job::StreamJob;
use crate::ids::{GenerationId, GenerationKey};
use crate::limits::{COMPACTIONS_OF_A_SWEEP_MAX, OPEN_SHARDS, OVERTIME_GRACE, PENDING_MAX, SWEEP_BACKOFF, SWEEP_BACKOFF_MAX};
use crate::log::chunk::Chunk;
use crate::telemetry::{self, generation_span, record_span_fields};

/// Generations that are checked side by side.
const CONCURRENCY: usize = 32;
/// How long checks that are under way may take after `stop_at`. The next sweep repeats what they have not done.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Generations that have not ended.
    pub open: u64,
    /// How many of them were checked: those older than [`age_min`], or fewer where time ran out; the next sweep continues there.
    pub looked_at: u64,
    /// Generations streamed again: their invoke was lost, or their writer is gone. `stream` resumes or ends them.
    pub streamed: u64,
    /// Generations compacted: their log had ended, and its trigger was lost.
    pub compacted: u64,
    /// Generations ended because they exceeded their time, even where a writer was alive.
    pub timed_out: u64,
    /// Generations, batches, runs and imports whose check failed; the log has the reasons.
    pub errors: u64,
    /// Batches that have not ended.
    pub open_batches: u64,
    /// Runs that have not ended.
    pub open_runs: u64,
    /// Runs that were open two minutes after their time, though each sweep ends those.
    pub runs_over_time: u64,
    /// Imports that were begun, and have not ended.
    pub open_imports: u64,
    /// The age of the oldest open generation in seconds.
    pub oldest_seconds: u64,
    /// Deliveries that are due, and have been invoked.
    pub due_deliveries: u64,
}

enum Found {
    Healthy,
    Streamed,
    Compacted,
    TimedOut,
}

impl App {
    /// Checks every generation older than [`age_min`] that has not ended, oldest first. An error of one does not affect the others.
    /// No check begins once `stop` is ready; the next sweep begins with the generations that this one did not reach.
    ///
    /// # Errors
    /// [`Error::Aws`]: the index cannot be read.
    pub async fn sweep(&self, stop: impl Future<Output = ()> + Send) -> Result<Swept, Error> {
        let stop = stop.boxed().shared();
        let jobs = futures::future::try_join_all((0..OPEN_SHARDS).map(|shard| self.records.open_jobs(shard))).await?;
        let jobs: OpenJobs = jobs.into_iter().collect();
        let (idle, is_time) = (age_min(self.config.lease), || stop.clone().now_or_never().is_none());
        let shards = futures::future::try_join_all((0..OPEN_SHARDS).map(|shard| self.records.open(shard))).await?;
        let mut open: Vec<GenerationKey> = shards.into_iter().flatten().collect();
        // Ids sort by their time.
        open.sort_by(|left, right| left.generation.cmp(&right.generation));
        let due_deliveries = self.sweep_deliveries().await.unwrap_or_else(|error| {
            tracing::error!(%error, "The deliveries that are due could not be read.");
            0
        });
        let age_ms = |key: &GenerationKey| self.clock.now_ms() - key.generation.created_ms();
        let oldest_ms = open.first().map_or(0, age_ms);
        let mut swept = Swept {
            open: open.len() as u64,
            oldest_seconds: (oldest_ms / 1_000).try_into().unwrap_or(0),
            due_deliveries,
            ..Swept::default()
        };
        // Most are younger where many are open at once.
        open.retain(|key| age_ms(key) >= millis(age_min(self.config.lease)));
        let due = open.len() as u64;
        let cursor = self.records.sweep_cursor().await?;
        if let Some(cursor) = &cursor {
            let reached = open.partition_point(|key| key.generation <= *cursor);
            open.rotate_left(reached);
        }
        // Side by side: none of them takes the time of the others.
        let batches = Box::pin(self.sweep_batches(jobs.batches, idle, is_time));
        let runs = Box::pin(self.sweep_runs(jobs.runs, idle, is_time));
        let imports = Box::pin(self.sweep_imports(jobs.imports, is_time));
        let (last, batches, runs, imports) = tokio::join!(self.check_all(open, stop.clone(), &mut swept), batches, runs, imports);
        (swept.open_batches, swept.open_runs, swept.runs_over_time) = (batches.open, runs.open, runs.over_time);
        swept.open_imports = imports.open;
        swept.errors += batches.errors + runs.errors + imports.errors;
        let next = last.or_else(|| cursor.clone()).filter(|_| swept.looked_at < due);
        if next != cursor {
            self.records.set_sweep_cursor(next.as_ref()).await?;
        }
        tracing::info!(
            name: telemetry::SWEEP,
            target: telemetry::TARGET,
            open_generations = swept.open,
            open_batches = swept.open_batches,
            open_runs = swept.open_runs,
            runs_over_time = swept.runs_over_time,
            open_imports = swept.open_imports,
            looked_at = swept.looked_at,
            streamed_again = swept.streamed,
            compacted_late = swept.compacted,
            timed_out = swept.timed_out,
            not_swept = swept.errors,
            oldest_open_seconds = swept.oldest_seconds,
            due_deliveries = swept.due_deliveries,
            "A sweep is done."
        );
        Ok(swept)
    }

    /// Returns the last generation that was checked.
    async fn check_all(
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
            let mut checks = FuturesUnordered::new();
            loop {
                while checks.len() < CONCURRENCY && is_time() {
                    let Some(key) = open.next() else { break };
                    last = Some(key.generation.clone());
                    swept.looked_at += 1;
                    checks.push(check(self.clone(), key, Arc::clone(&compactions)));
                }
                match checks.next().await {
                    Some(found) => swept.count(found.as_ref()),
                    None => break,
                }
            }
        };
        tokio::select! {
            () = all => {}
            () = stop.clone().then(|()| sleep(STOP_GRACE)) => {
                tracing::warn!("A sweep was stopped before it was done; the next one continues.");
            }
        }
        last
    }

    async fn check_generation(&self, key: &GenerationKey, compactions: &Semaphore) -> Result<Found, Error> {
        let (newest, meta) = self.buffer.newest_and_meta(key).await?;
        let now = self.clock.now_ms();
        let has_ended = newest.as_ref().is_some_and(|chunk| chunk.end().is_some());
        let is_over_time = |since: i64, limit: Duration| now >= since + millis(limit + OVERTIME_GRACE);
        // The record is never older than the id, so the id decides without reading the record.
        if !has_ended
            && !is_over_time(key.generation.created_ms(), self.config.timeouts.generation)
            && self.is_alive(newest.as_ref(), meta.as_ref())
        {
            return Ok(Found::Healthy);
        }
        // Read after the buffer: a generation whose buffer was deleted after compaction must not look like one that has not begun.
        let Some(record) = self.records.find(key).await?.filter(|record| record.outcome.is_none()) else {
            return Ok(Found::Healthy);
        };
        record_span_fields(record.request_id.as_deref(), &record.provider, &record.model);
        if let Some(ended) = newest.as_ref().filter(|chunk| chunk.end().is_some()) {
            if now < ended.at_ms + millis(PENDING_MAX) {
                return Ok(Found::Healthy);
            }
            let _permit = compactions.acquire().await;
            return match self.compact(key, "sweep").await {
                Ok(_) => Ok(Found::Compacted),
                // Purged in the meantime.
                Err(Error::NotFound(_)) => Ok(Found::Healthy),
                Err(error) => Err(error),
            };
        }
        let created = millis_of(&record.created_at).unwrap_or_default();
        if is_over_time(created, self.time_limit(record.timeout_seconds)) {
            if !self.end_over_time(key, &record, "sweep").await? {
                return Ok(Found::Healthy);
            }
            self.release_upstream(key, meta.as_ref()).await;
            return Ok(Found::TimedOut);
        }
        let is_fresh = meta.as_ref().is_none_or(|meta| meta.attempt == 0) && now < created + millis(PENDING_MAX);
        if is_fresh || self.is_alive(newest.as_ref(), meta.as_ref()) {
            return Ok(Found::Healthy);
        }
        self.invoke_again(key, meta.as_ref(), now).await
    }

    fn is_alive(&self, newest: Option<&Chunk>, meta: Option<&Meta>) -> bool {
        self.is_writer_alive(meta, newest.map(|chunk| (chunk.writer.clone(), chunk.at_ms)).as_ref())
    }

    /// Invokes `stream`, unless an earlier invoke is so recent that it may still be queued.
    async fn invoke_again(&self, key: &GenerationKey, meta: Option<&Meta>, now: i64) -> Result<Found, Error> {
        let before = meta.map_or(0, |meta| meta.sweeps);
        if meta.and_then(|meta| meta.swept_at).is_some_and(|at| now < at + millis(back_off(before))) {
            return Ok(Found::Healthy);
        }
        let sweeps = before.saturating_add(1);
        // Stored before the invoke: if it were lost after the invoke, the next sweep would invoke again.
        if !self.buffer.record_sweep(key, meta, sweeps, now, self.buffer_expiry(meta)).await? {
            return Ok(Found::Healthy);
        }
        tracing::warn!(sweeps, "A generation has stalled; stream is invoked again.");
        self.invoker.stream(&StreamJob::new(key)).await?;
        Ok(Found::Streamed)
    }
}

async fn check(app: App, key: GenerationKey, compactions: Arc<Semaphore>) -> Option<Found> {
    let span = generation_span!("sweep", key);
    let check = async {
        let found = app.check_generation(&key, &compactions).await;
        found.inspect_err(|error| tracing::error!(%error, "A generation could not be swept.")).ok()
    };
    check.instrument(span).await
}

impl Swept {
    fn count(&mut self, found: Option<&Found>) {
        match found {
            Some(Found::Healthy) => {}
            Some(Found::Streamed) => self.streamed += 1,
            Some(Found::Compacted) => self.compacted += 1,
            Some(Found::TimedOut) => self.timed_out += 1,
            None => self.errors += 1,
        }
    }
}

/// The age from which a sweep looks at a generation: until then its writer may hold its first lease, and an invoke or a trigger may be on
/// its way.
fn age_min(lease: Duration) -> Duration {
    (lease * 2).min(PENDING_MAX)
}

/// The wait after invoke number `sweeps`.
fn back_off(sweeps: u32) -> Duration {
    let doubled = SWEEP_BACKOFF.saturating_mul(2_u32.saturating_pow(sweeps.saturating_sub(1)));
    doubled.min(SWEEP_BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_invokes_back_off() {
        let minutes: Vec<u64> = (1..8).map(|sweeps| back_off(sweeps).as_secs().div_ceil(60)).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(back_off(u32::MAX), SWEEP_BACKOFF_MAX);
        assert!(back_off(1) < Duration::from_mins(1), "the sweep a minute later must find it due");
    }
}
