//! DynamoDB stream triggers: reads each stream, filters its records, and delivers batches in order, at least once.

mod checkpoint;
mod delivery;
mod reader;
mod records;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use longhand::retry::{BackoffBuilder, Exponential, exponential};
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    dynamodb::DynamoDb,
    lambda::{Hosted, Lambda},
    template::StreamTrigger,
};
use checkpoint::Checkpoint;
use delivery::Delivery;
use reader::Reader;

/// The shortest time between two reads, unless the first returned a full page: a read for each write would cost as much as the writes. A write
/// after a longer silence is read at once.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest wait for a write that may match. Expired items are deleted without one that is noted, and positions go on behind what does
/// not match.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// Pauses after errors.
const ERROR_PAUSES: Exponential = exponential(Duration::from_secs(1), Duration::from_secs(16), usize::MAX);
/// How long a running delivery may take when the stack stops. The next stack repeats a delivery that did not finish.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A stream record.
#[derive(Clone, Debug)]
pub struct Record {
    /// The record in the form that the function receives.
    pub event: Value,
    /// Its position in the stream.
    pub sequence_number: String,
    /// When it was written, in epoch seconds.
    pub written_at: i64,
}

/// Where triggers read.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The database, which has the streams and tells of writes.
    pub dynamodb: &'a DynamoDb,
    /// The folder of stored positions.
    pub positions: &'a Path,
}

/// Runs every stream trigger of the template.
///
/// # Errors
/// A stream or a position cannot be read.
pub async fn start(lambda: &Lambda, source: Source<'_>, stop: &CancellationToken, tasks: &TaskTracker) -> Result<()> {
    for hosted in lambda.functions() {
        for trigger in &hosted.definition.triggers {
            let mut running = Trigger::open(lambda, source, hosted, trigger).await?;
            let stop = stop.clone();
            tasks.spawn(async move {
                let expired = async {
                    stop.cancelled().await;
                    sleep(STOP_GRACE).await;
                };
                tokio::select! { () = running.run(&stop) => {}, () = expired => {} }
            });
        }
    }
    Ok(())
}

/// How much a step read.
enum Progress {
    /// A full page: there are probably more records.
    Behind,
    Some,
    /// Nothing that a filter matched.
    None,
}

struct Trigger {
    reader: Reader,
    checkpoint: Checkpoint,
    delivery: Delivery,
    rules: StreamTrigger,
    /// Records that matched the filters and are not delivered yet.
    waiting: Vec<Record>,
    waiting_since: Option<Instant>,
    writes: watch::Receiver<u64>,
}

impl Trigger {
    async fn open(lambda: &Lambda, source: Source<'_>, hosted: &Arc<Hosted>, trigger: &StreamTrigger) -> Result<Self> {
        let name = format!("{}-{}", hosted.definition.id, trigger.name);
        let mut checkpoint = Checkpoint::open(source.positions, &name)?;
        let mut reader = Reader::open(source.dynamodb.streams(), &trigger.table).await?;
        if checkpoint.is_new() && trigger.from_latest {
            checkpoint.advance(&reader.last().await?)?;
        }
        reader.seek(checkpoint.position());
        let delivery = Delivery::new(lambda.clone(), hosted.clone(), trigger.clone(), reader.stream());
        Ok(Self {
            reader,
            checkpoint,
            delivery,
            rules: trigger.clone(),
            waiting: Vec::new(),
            waiting_since: None,
            writes: source.dynamodb.writes(&trigger.table, &trigger.filters),
        })
    }

    async fn run(&mut self, stop: &CancellationToken) {
        let mut failing = ERROR_PAUSES.build();
        while !stop.is_cancelled() {
            let began = Instant::now();
            // Marked before the read: a write during the read ends the wait behind it.
            self.writes.mark_unchanged();
            match self.step().await {
                Ok(progress) => {
                    failing = ERROR_PAUSES.build();
                    if matches!(progress, Progress::None) {
                        let pause = self.window_left().unwrap_or(IDLE_MAX);
                        tokio::select! {
                            _ = self.writes.changed() => {}
                            () = sleep(pause) => {}
                            () = stop.cancelled() => {}
                        }
                    }
                    match progress {
                        Progress::Behind => {}
                        Progress::Some | Progress::None => sleep_until(began + PAUSE).await,
                    }
                }
                Err(error) => {
                    let table = &self.rules.table;
                    tracing::error!(error = format!("{error:#}"), table, "a stream trigger failed and will retry");
                    sleep(failing.next().unwrap_or_default()).await;
                    self.waiting.clear();
                    self.waiting_since = None;
                    self.reader.seek(self.checkpoint.position());
                }
            }
        }
    }

    /// How long records that wait for others have to wait; `None`: there are none.
    fn window_left(&self) -> Option<Duration> {
        Some(self.rules.window.saturating_sub(self.waiting_since?.elapsed()))
    }

    /// Reads one page and delivers the batches that are due.
    async fn step(&mut self) -> Result<Progress> {
        let read = self.reader.read().await?;
        let progress = if self.reader.is_behind() {
            Progress::Behind
        } else if read.is_empty() {
            Progress::None
        } else {
            Progress::Some
        };
        let last = read.last().map(|record| record.sequence_number.clone());
        let filters = &self.rules.filters;
        self.waiting
            .extend(read.into_iter().filter(|record| filters.is_empty() || filters.iter().any(|it| it.matches(&record.event))));
        if self.waiting.is_empty() {
            if let Some(last) = last {
                self.checkpoint.advance(&last)?;
            }
            return Ok(if matches!(progress, Progress::Some) { Progress::None } else { progress });
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let window_is_over = since.elapsed() >= self.rules.window;
        while self.waiting.len() >= self.rules.batch_size || (window_is_over && !self.waiting.is_empty()) {
            let rest = self.waiting.split_off(self.rules.batch_size.min(self.waiting.len()));
            let batch = std::mem::replace(&mut self.waiting, rest);
            let delivered = batch.last().map(|record| record.sequence_number.clone());
            self.delivery.deliver(batch).await;
            // Every record before the first waiting one is done, including those that did not match.
            if let Some(position) = if self.waiting.is_empty() { last.clone().or(delivered) } else { delivered } {
                self.checkpoint.advance(&position)?;
            }
            self.waiting_since = None;
        }
        Ok(progress)
    }
}

#[cfg(test)]
mod tests;
