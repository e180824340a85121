//! DynamoDB-stream triggers: reads each stream, filters, and delivers batches to the function in order, at least once.

mod checkpoint;
mod delivery;
pub mod pattern;
mod reader;
mod records;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use aws_sdk_dynamodbstreams::Client;
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

/// How long a stream is left alone that gave less than it may: reads and writes share the one thread of the embedded
/// DynamoDB, and a read per write would halve the rate of writing.
const IDLE_PAUSE_MIN: Duration = Duration::from_millis(5);
const IDLE_PAUSE_MAX: Duration = Duration::from_millis(20);
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// A delivery that runs when the stack stops gets this long; the next stack repeats it otherwise.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// One record, with what delivery asks of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// As the function gets it.
    pub event: Value,
    /// Its place in the stream.
    pub sequence_number: String,
    /// When it was written, in epoch seconds.
    pub written_at: i64,
}

/// Runs every stream trigger of the template. Positions are kept in `folder`.
///
/// # Errors
/// A stream or a position cannot be read.
pub async fn start(lambda: &Lambda, client: &Client, folder: &Path, stop: &CancellationToken, tasks: &TaskTracker) -> Result<()> {
    for hosted in lambda.functions() {
        for trigger in &hosted.definition.triggers {
            let mut running = Trigger::open(lambda, client, folder, hosted, trigger).await?;
            let stop = stop.clone();
            tasks.spawn(async move {
                let impatient = async {
                    stop.cancelled().await;
                    sleep(STOP_PATIENCE).await;
                };
                tokio::select! { () = running.run(&stop) => {}, () = impatient => {} }
            });
        }
    }
    Ok(())
}

/// What a step found.
enum Progress {
    /// As much as one read may give: there is likely more.
    Behind,
    Some,
    None,
}

struct Trigger {
    reader: Reader,
    checkpoint: Checkpoint,
    delivery: Delivery,
    rules: StreamTrigger,
    /// Records that matched and are not delivered yet.
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
        let mut pause = IDLE_PAUSE_MIN;
        while !stop.is_cancelled() {
            match self.step().await {
                Ok(Progress::Behind) => pause = IDLE_PAUSE_MIN,
                Ok(Progress::Some) => {
                    pause = IDLE_PAUSE_MIN;
                    sleep(pause).await;
                }
                Ok(Progress::None) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(IDLE_PAUSE_MAX);
                }
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        table = self.rules.table,
                        "a stream trigger cannot go on and tries again"
                    );
                    sleep(ERROR_PAUSE).await;
                    self.waiting.clear();
                    self.waiting_since = None;
                    self.reader.seek(self.checkpoint.position());
                }
            }
        }
    }

    /// Reads and delivers what there is.
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
            // Everything before what still waits is done, matched or not.
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
