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

/// How long an idle stream is left alone; a busy one is read again at once.
const IDLE_PAUSE_MIN: Duration = Duration::from_millis(5);
const IDLE_PAUSE_MAX: Duration = Duration::from_millis(20);
const ERROR_PAUSE: Duration = Duration::from_secs(1);

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
            tasks.spawn(async move { stop.run_until_cancelled(running.run()).await });
        }
    }
    Ok(())
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
        if checkpoint.position().is_none() && trigger.from_latest {
            if let Some(last) = reader.last().await? {
                checkpoint.advance(&last)?;
            }
        }
        reader.seek(checkpoint.position());
        let delivery = Delivery::new(lambda.clone(), hosted.clone(), trigger.clone(), reader.stream());
        Ok(Self { reader, checkpoint, delivery, rules: trigger.clone(), waiting: Vec::new(), waiting_since: None })
    }

    async fn run(&mut self) {
        let mut pause = IDLE_PAUSE_MIN;
        loop {
            match self.step().await {
                Ok(true) => pause = IDLE_PAUSE_MIN,
                Ok(false) => {
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

    /// Reads and delivers what there is. Says whether there was anything.
    async fn step(&mut self) -> Result<bool> {
        let read = self.reader.read().await?;
        let busy = !read.is_empty();
        let last = read.last().map(|record| record.sequence_number.clone());
        let filters = &self.rules.filters;
        self.waiting
            .extend(read.into_iter().filter(|record| filters.is_empty() || filters.iter().any(|it| it.matches(&record.event))));
        if self.waiting.is_empty() {
            if let Some(last) = last {
                self.checkpoint.advance(&last)?;
            }
            return Ok(busy);
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
        Ok(busy)
    }
}

#[cfg(test)]
mod tests;
