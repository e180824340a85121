//! `redrive`: repeats what Lambda has given up, from its on-failure records.
//!
//! The record of a failed `stream` invocation names its generation. That of a failed batch of stream records has only its
//! position in the stream; but any log that has ended and is not compacted may have been in it.

use std::time::Duration;

use futures::future::try_join_all;
use futures::{StreamExt, stream};
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::clock::{millis, millis_of};
use crate::error::Error;
use crate::generation::job::{Job, StreamJob};
use crate::ids::{GenerationKey, Organization};
use crate::limits::OPEN_SHARDS;
use crate::notifications::delivery::DeliverJob;

/// Logs that are read side by side. They are compacted one by one, as each holds parts of two objects in memory.
const CONCURRENCY: usize = 16;

/// How long before its end a generation was created, at most.
const GENERATION_AGE_MAX: Duration = Duration::from_hours(24);

/// What an on-failure record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenUp {
    /// An async invocation of `stream`.
    Stream(Job),
    /// An async invocation of `deliver`.
    Deliver(DeliverJob),
    /// A batch of so many terminal chunks for `compact`.
    Compact(u64),
    /// A batch of so many records for `settle`, the first of which was written at this moment, in milliseconds.
    Settle {
        /// How many.
        records: u64,
        /// When.
        since_ms: i64,
    },
}

/// What a generation needs, or what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Redriven {
    /// The generation no longer exists.
    Gone,
    /// It has its outcome.
    HadEnded,
    /// A writer is alive; if it dies, the sweep finds the generation.
    Busy,
    /// Its log has ended, and is compacted.
    Compacted,
    /// It has stalled, and `stream` is invoked.
    Invoked,
}

/// Logs that have ended and were not compacted.
#[derive(Debug, Default)]
pub struct CaughtUp {
    /// Those that are compacted now, or would be.
    pub compacted: Vec<GenerationKey>,
    /// Those that could not be read or compacted, and why.
    pub failed: Vec<(GenerationKey, Error)>,
}

impl GivenUp {
    /// Parses a record in the form of Lambda's destinations, or a message that a fleet's workers have returned too often: the job itself.
    ///
    /// # Errors
    /// Says why the body is not such a record, or not one of this product.
    pub fn read(body: &str) -> Result<Self, String> {
        let record: Value = serde_json::from_str(body).map_err(|error| format!("it is no JSON: {error}"))?;
        if let Some(payload) = record.get("requestPayload") {
            if let Ok(job) = serde_json::from_value(payload.clone()) {
                return Ok(Self::Deliver(job));
            }
            let job = Job::from_json(payload.clone());
            return job.map(Self::Stream).map_err(|error| format!("its `requestPayload` is no job of `stream`: {error}"));
        }
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
        // `…:function:NAME:live`; on the local stack the name is the function's own.
        let is_settle = text("/requestContext/functionArn").is_some_and(|arn| {
            arn.split(':').nth(6).is_some_and(|name| name.to_ascii_lowercase().trim_end_matches("function").ends_with("settle"))
        });
        match record.pointer("/DDBStreamBatchInfo/batchSize").and_then(Value::as_u64) {
            Some(records) if is_settle => {
                let since_ms = text("/DDBStreamBatchInfo/approximateArrivalOfFirstRecord").and_then(millis_of);
                let missing = "it does not tell when its first record arrived, as on-failure records do";
                Ok(Self::Settle { records, since_ms: since_ms.ok_or(missing)? })
            }
            Some(records) => Ok(Self::Compact(records)),
            None => Job::from_json(record).map(Self::Stream).map_err(|error| {
                format!("it has neither `requestPayload` nor `DDBStreamBatchInfo`, as on-failure records have, and is no job of `stream`: {error}")
            }),
        }
    }
}

impl App {
    /// Does what a failed invocation of `stream` has not done for a generation; without `apply` only reports it.
    ///
    /// # Errors
    /// [`Error::Aws`], [`Error::Configuration`]; the call can be repeated.
    pub async fn redrive(&self, key: &GenerationKey, apply: bool) -> Result<Redriven, Error> {
        let (newest, meta) = self.buffer.newest_and_meta(key).await?;
        let Some(record) = self.records.find(key).await? else { return Ok(Redriven::Gone) };
        if record.outcome.is_some() {
            return Ok(Redriven::HadEnded);
        }
        if newest.as_ref().is_some_and(|chunk| chunk.end().is_some()) {
            return if apply { self.compact_given_up(key).await } else { Ok(Redriven::Compacted) };
        }
        if self.is_writer_alive(meta.as_ref(), newest.map(|chunk| (chunk.writer, chunk.at_ms)).as_ref()) {
            return Ok(Redriven::Busy);
        }
        if apply {
            self.invoker.stream(&StreamJob::new(key)).await?;
        }
        Ok(Redriven::Invoked)
    }

    /// Compacts every log that has ended and is not compacted, found in the index of open generations; without `apply` only
    /// reports which they are.
    ///
    /// # Errors
    /// [`Error::Aws`]: the index cannot be read.
    pub async fn catch_up(&self, apply: bool) -> Result<CaughtUp, Error> {
        let shards = try_join_all((0..OPEN_SHARDS).map(|shard| self.records.open(shard))).await?;
        let open = stream::iter(shards.into_iter().flatten());
        let looked_at: Vec<_> =
            open.map(|key| async move { (self.is_uncompacted(&key).await, key) }).buffered(CONCURRENCY).collect().await;
        let mut caught_up = CaughtUp::default();
        for (is_uncompacted, key) in looked_at {
            let compacted = match is_uncompacted {
                Ok(true) if apply => self.compact_given_up(&key).await.map(|done| done == Redriven::Compacted),
                result => result,
            };
            match compacted {
                Ok(false) => {}
                Ok(true) => caught_up.compacted.push(key),
                Err(error) => caught_up.failed.push((key, error)),
            }
        }
        Ok(caught_up)
    }

    /// Settles every generation and every run that has ended since `since_ms` and was not settled, of every organization that has objects; without
    /// `apply` only tells how many there are.
    ///
    /// # Errors
    /// As [`Self::settle`]; the call can be repeated.
    pub async fn catch_up_settling(&self, since_ms: i64, apply: bool) -> Result<u64, Error> {
        // One that ended then was created a day before at the earliest: its buffer would have expired.
        let created_since = since_ms.saturating_sub(millis(GENERATION_AGE_MAX)).max(0);
        let mut settled = 0;
        for organization in self.organizations().await? {
            settled += self.settle_since(&organization, created_since, apply).await?;
            settled += self.settle_runs_since(&organization, created_since, apply).await?;
            if apply {
                self.tell_since(&organization, since_ms).await?;
            }
        }
        Ok(settled)
    }

    /// Does what a failed invocation of `deliver` has not done: invokes it again. What is not due any more it leaves alone.
    ///
    /// # Errors
    /// [`Error::Aws`], [`Error::Configuration`]; the call can be repeated.
    pub async fn redrive_deliveries(&self, job: &DeliverJob) -> Result<(), Error> {
        self.invoker.deliver(job).await
    }

    /// Tells an organization's events since `since_ms` again. What was told is known already.
    async fn tell_since(&self, organization: &Organization, since_ms: i64) -> Result<(), Error> {
        for event in self.records.notifications_since(organization, since_ms).await? {
            if let Some(notification) = self.records.notification(organization, &event).await? {
                self.fan_out(&notification).await?;
            }
        }
        Ok(())
    }

    /// Whether a generation's log has ended, and the generation has no outcome.
    async fn is_uncompacted(&self, key: &GenerationKey) -> Result<bool, Error> {
        let newest = self.buffer.newest(key).await?;
        Ok(newest.is_some_and(|chunk| chunk.end().is_some()) && self.is_open(key).await?)
    }

    async fn compact_given_up(&self, key: &GenerationKey) -> Result<Redriven, Error> {
        match self.compact(key, "longhand redrive").await {
            Ok(_) => Ok(Redriven::Compacted),
            Err(Error::NotFound(_)) => Ok(Redriven::Gone),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_failure_records_are_parsed_and_others_refused_with_a_reason() {
        let job = r#"{"requestPayload":{"organization":"acme","generation":"gen_01arz3ndektsv4rrffq69g5fav"}}"#;
        assert!(matches!(GivenUp::read(job), Ok(GivenUp::Stream(job)) if job.keys()[0].organization.as_str() == "acme"));
        let deliver = r#"{"requestPayload":{"organization":"acme","deliveries":["dlv_01arz3ndektsv4rrffq69g5fav"]}}"#;
        assert!(matches!(GivenUp::read(deliver), Ok(GivenUp::Deliver(job)) if job.deliveries.len() == 1));
        let batch = r#"{"DDBStreamBatchInfo":{"batchSize":3,"shardId":"s"}}"#;
        assert_eq!(GivenUp::read(batch), Ok(GivenUp::Compact(3)));
        let settle = |arn: &str| {
            format!(
                r#"{{"requestContext":{{"functionArn":"{arn}"}},"DDBStreamBatchInfo":{{"batchSize":2,"approximateArrivalOfFirstRecord":"2026-11-21T09:30:00.000Z"}}}}"#
            )
        };
        for arn in ["arn:aws:lambda:us-east-1:1:function:prod-settle:live", "arn:aws:lambda:us-east-1:1:function:SettleFunction"]
        {
            assert_eq!(GivenUp::read(&settle(arn)), Ok(GivenUp::Settle { records: 2, since_ms: 1_795_253_400_000 }), "{arn}");
        }
        let compact = settle("arn:aws:lambda:us-east-1:1:function:prod-compact:live");
        assert_eq!(GivenUp::read(&compact), Ok(GivenUp::Compact(2)));
        for (body, why) in [
            ("", "no JSON"),
            ("{}", "neither"),
            (r#"{"requestPayload":{"n":1}}"#, "no job"),
            (r#"{"DDBStreamBatchInfo":{}}"#, "neither"),
        ] {
            assert!(GivenUp::read(body).unwrap_err().contains(why), "{body}");
        }
    }
}
