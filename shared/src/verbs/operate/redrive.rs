//! `redrive`: does again what Lambda gave up, from the records that it left.
//!
//! A failed invocation of `stream` says which generation it was for. A failed batch of stream records says only where in the
//! stream it was; but what it was for is known all the same: a log that has ended and is not compacted.

use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::error::Error;
use crate::generation::job::StreamJob;
use crate::ids::GenerationKey;
use crate::limits::OPEN_SHARDS;

/// What an on-failure record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenUp {
    /// An async invocation of `stream`.
    Stream(StreamJob),
    /// A batch of terminal chunks for `compact`; how many.
    Compact(u64),
}

/// What a generation needs, or was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Redriven {
    /// There is no such generation any more.
    Gone,
    /// It has its outcome.
    HadEnded,
    /// A writer is at it; if that one dies, the sweep finds it.
    Busy,
    /// Its log has ended: it is compacted.
    Compacted,
    /// It stands still: `stream` is invoked.
    Invoked,
}

/// Logs that have ended and were not compacted.
#[derive(Debug, Default)]
pub struct CaughtUp {
    /// They are compacted now, or would be.
    pub compacted: Vec<GenerationKey>,
    /// They could not be compacted, or not be looked at, and why.
    pub failed: Vec<(GenerationKey, Error)>,
}

impl GivenUp {
    /// Reads a record in the form of Lambda's destinations. `Err` says what it is not.
    ///
    /// # Errors
    /// It is none, or none of this product's.
    pub fn read(body: &str) -> Result<Self, String> {
        let record: Value = serde_json::from_str(body).map_err(|error| format!("it is no JSON: {error}"))?;
        if let Some(payload) = record.get("requestPayload") {
            let job = serde_json::from_value(payload.clone());
            return job.map(Self::Stream).map_err(|error| format!("its `requestPayload` is no job of `stream`: {error}"));
        }
        match record.pointer("/DDBStreamBatchInfo/batchSize").and_then(Value::as_u64) {
            Some(records) => Ok(Self::Compact(records)),
            None => Err("it has neither `requestPayload` nor `DDBStreamBatchInfo`, as on-failure records have".into()),
        }
    }
}

impl App {
    /// Does for a generation what a failed invocation of `stream` did not; without `apply` only says what that is.
    ///
    /// # Errors
    /// [`Error::Aws`], [`Error::Configuration`]: it is not done, and can be tried again.
    pub async fn redrive(&self, key: &GenerationKey, apply: bool) -> Result<Redriven, Error> {
        let (newest, meta) = futures::try_join!(self.buffer.newest(key), self.buffer.meta(key))?;
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

    /// Compacts every log that has ended and is not compacted, found in the index of what is open; without `apply` only says
    /// which they are.
    ///
    /// # Errors
    /// [`Error::Aws`]: the index cannot be read.
    pub async fn catch_up(&self, apply: bool) -> Result<CaughtUp, Error> {
        let mut caught_up = CaughtUp::default();
        for shard in 0..OPEN_SHARDS {
            for key in self.records.open(shard).await? {
                match self.catch_up_with(&key, apply).await {
                    Ok(false) => {}
                    Ok(true) => caught_up.compacted.push(key),
                    Err(error) => caught_up.failed.push((key, error)),
                }
            }
        }
        Ok(caught_up)
    }

    async fn catch_up_with(&self, key: &GenerationKey, apply: bool) -> Result<bool, Error> {
        let newest = self.buffer.newest(key).await?;
        if newest.is_none_or(|chunk| chunk.end().is_none()) {
            return Ok(false);
        }
        let is_open = self.is_open(key).await?;
        if !is_open || !apply {
            return Ok(is_open);
        }
        Ok(self.compact_given_up(key).await? == Redriven::Compacted)
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
    fn a_record_says_what_it_is_about_and_others_say_why_they_do_not() {
        let job = r#"{"requestPayload":{"organization":"acme","generation":"gen_01arz3ndektsv4rrffq69g5fav"}}"#;
        assert!(matches!(GivenUp::read(job), Ok(GivenUp::Stream(job)) if job.organization.as_str() == "acme"));
        let batch = r#"{"DDBStreamBatchInfo":{"batchSize":3,"shardId":"s"}}"#;
        assert_eq!(GivenUp::read(batch), Ok(GivenUp::Compact(3)));
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
