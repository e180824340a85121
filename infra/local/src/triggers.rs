//! DynamoDB stream triggers: reads each stream, filters its records, and delivers batches in order, at least once.

mod checkpoint;
mod delivery;
mod reader;
mod records;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use aws_sdk_dynamodbstreams::Client;
use longhand::retry::{BackoffBuilder, Exponential, exponential};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    lambda::{Hosted, Lambda},
    template::StreamTrigger,
};
use checkpoint::Checkpoint;
use delivery::Delivery;
use reader::Reader;

/// Pauses of 5 to 20 ms between reads that return less than a full page. Reads and writes share the one thread of the embedded
/// DynamoDB, and a read per write would halve the write rate.
const IDLE_PAUSES: Exponential = exponential(Duration::from_millis(5), Duration::from_millis(10), usize::MAX);
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

/// Runs every stream trigger of the template. Positions are stored in `folder`.
///
/// # Errors
/// A stream or a position cannot be read.
pub async fn start(lambda: &Lambda, client: &Client, folder: &Path, stop: &CancellationToken, tasks: &TaskTracker) -> Result<()> {
    for hosted in lambda.functions() {
        for trigger in &hosted.definition.triggers {
            let mut running = Trigger::open(lambda, client, folder, hosted, trigger).await?;
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
}

impl Trigger {
    async fn open(
        lambda: &Lambda,
        client: &Client,
        folder: &Path,
        hosted: &Arc<Hosted>,
        trigger: &StreamTrigger,
    ) -> Result<Self> {
        let name = format!("{}-{}", hosted.definition.id, trigger.name);
        let mut checkpoint = Checkpoint::open(folder, &name)?;
        let mut reader = Reader::open(client, &trigger.table).await?;
        if checkpoint.is_new() && trigger.from_latest {
            checkpoint.advance(&reader.last().await?)?;
        }
        reader.seek(checkpoint.position());
        let delivery = Delivery::new(lambda.clone(), hosted.clone(), trigger.clone(), reader.stream());
        Ok(Self { reader, checkpoint, delivery, rules: trigger.clone(), waiting: Vec::new(), waiting_since: None })
    }

    async fn run(&mut self, stop: &CancellationToken) {
        let (mut idle, mut failing) = (IDLE_PAUSES.build(), ERROR_PAUSES.build());
        while !stop.is_cancelled() {
            match self.step().await {
                Ok(progress) => {
                    failing = ERROR_PAUSES.build();
                    if !matches!(progress, Progress::None) {
                        idle = IDLE_PAUSES.build();
                    }
                    if !matches!(progress, Progress::Behind) {
                        sleep(idle.next().unwrap_or_default()).await;
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
            return Ok(progress);
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
