//! `compact`: checks a log that has ended, puts its text and its events into the bucket, and writes the outcome on the record.
//!
//! In constant memory: a page of chunks, and a part of each of the two objects. May run twice, late, or beside itself: the
//! objects are the same bytes under the same keys each time, and the outcome is written once.

mod upload;

pub(in crate::verbs) use upload::Compacted;

use serde::Serialize;
use tokio::time::Instant;
use tracing::Instrument;

use crate::app::App;
use crate::aws::{Outcome, RecordRow};
use crate::error::Error;
use crate::generation::Status;
use crate::ids::{GenerationId, GenerationKey};
use crate::quota::DayUsage;
use crate::telemetry::{generation_span, record_span_fields};
use crate::verbs::generations::ending::outcome::Facts;

/// What a compaction came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// Which generation.
    pub id: GenerationId,
    /// Its status now.
    pub status: Status,
    /// `s3://bucket/key` of the text; `None` for a log that was of no use.
    pub compacted: Option<String>,
    /// Chunks of the log.
    pub chunk_count: u64,
    /// The text's length.
    pub bytes: u64,
    /// The text's SHA-256 in hex.
    pub sha256: Option<String>,
    /// The validation issue that was found.
    pub last_validation_issue_id: Option<String>,
    /// Whether it had been done before.
    pub was_compacted: bool,
}

impl App {
    /// Compacts a generation's log. `by` is noted on the record.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotEnded`]; [`Error::LogGone`]; [`Error::Aws`], after which it may be done again. A log
    /// that contradicts itself is no error: the generation fails with the reason `log_damaged`.
    pub async fn compact(&self, key: &GenerationKey, by: &str) -> Result<Compaction, Error> {
        let span = generation_span!("compact", key);
        Box::pin(self.compact_as(key, by)).instrument(span).await
    }

    async fn compact_as(&self, key: &GenerationKey, by: &str) -> Result<Compaction, Error> {
        let (began, id) = (Instant::now(), &key.generation);
        let (record, newest, request) = tokio::join!(self.records.get(key), self.buffer.newest(key), self.request_of_open(key));
        let record = record?;
        record_span_fields(record.request_id.as_deref(), &record.provider, &record.model);
        if let Some(outcome) = &record.outcome {
            self.delete_again(key).await?;
            return Ok(Compaction::new(key, record.status, outcome, true));
        }
        let Some(newest) = newest? else {
            return if self.is_open(key).await? {
                Err(Error::LogGone(id.to_string()))
            } else {
                self.compacted_by_another(key).await
            };
        };
        let Some((status, end)) = newest.end().map(|(status, end)| (status, end.clone())) else {
            return Err(Error::NotEnded(id.to_string(), "it is compacted by itself when it has"));
        };
        let Some(request) = request? else { return self.compacted_by_another(key).await };
        let (compacted, meta) = tokio::join!(self.put_log(key, &request, &newest, status, end), self.meta_if_any(key));
        let compacted = match compacted {
            Ok(compacted) => compacted,
            // A purge takes away what is being read and put.
            Err(_) if !self.is_open(key).await? => return self.compacted_by_another(key).await,
            Err(error) => {
                self.give_up_damaged(key, &record, error, by).await?;
                return self.compacted_by_another(key).await;
            }
        };
        let mut facts = Facts {
            end: compacted.end.clone(),
            meta,
            first_text_at_ms: compacted.log.first_text_at_ms,
            log_write_units: Some(compacted.write_units),
            ..Facts::default()
        };
        let estimate = compacted.log.usage(request.json_bytes(), compacted.log.counters.stored_bytes, None);
        let (status, mut outcome) = self.validate(key, &record, &request, compacted, by).await?;
        outcome.usage = outcome.usage.or(estimate);
        let price = self.config.prices.find(&record.provider, &record.model);
        let total = outcome.usage.map(|usage| usage.total);
        outcome.cost = price.map(|price| price.of(total.as_ref(), request.json_bytes(), outcome.received_bytes));
        let not_counted = facts.meta.as_ref().map_or(0, |meta| u64::from(meta.attempts_not_counted()));
        outcome.attempts = outcome.attempts.map(|attempts| attempts.saturating_sub(not_counted));
        if !self.finish(key, &record, status, &outcome).await? {
            return self.compacted_by_another(key).await;
        }
        facts.compaction = Some(began.elapsed());
        self.report_outcome(&record, status, &outcome, &facts);
        if request.delete_after {
            self.buffer.delete(key).await?;
        }
        Ok(Compaction::new(key, status, &outcome, false))
    }

    /// Whether there is a record, and no outcome on it.
    pub(in crate::verbs) async fn is_open(&self, key: &GenerationKey) -> Result<bool, Error> {
        Ok(self.records.find(key).await?.is_some_and(|record| record.outcome.is_none()))
    }

    /// Writes the outcome once, and counts what was used of the day with it.
    async fn finish(&self, key: &GenerationKey, record: &RecordRow, status: Status, outcome: &Outcome) -> Result<bool, Error> {
        let used = DayUsage { generations: 0, output_bytes: outcome.received_bytes, spend: outcome.cost.unwrap_or(0) };
        let used = record.allowance.as_ref().map(|allowance| (allowance.day.as_str(), used));
        self.records.finish(key, status, outcome, used).await
    }

    async fn compacted_by_another(&self, key: &GenerationKey) -> Result<Compaction, Error> {
        let Some(record) = self.records.find(key).await? else {
            // It was purged in the meantime: what was put since must go too.
            self.blobs.delete(key).await?;
            return Err(Error::NotFound(key.generation.to_string()));
        };
        let outcome = record.outcome.ok_or_else(|| Error::NotFound(key.generation.to_string()))?;
        self.delete_again(key).await?;
        Ok(Compaction::new(key, record.status, &outcome, true))
    }

    /// A deletion was cut off, or a writer that was taken for dead has put something into a slot that was free again.
    async fn delete_again(&self, key: &GenerationKey) -> Result<(), Error> {
        if self.request_of_open(key).await?.is_some_and(|request| request.delete_after) {
            self.buffer.delete(key).await?;
        }
        Ok(())
    }
}

impl Compaction {
    fn new(key: &GenerationKey, status: Status, outcome: &Outcome, was_compacted: bool) -> Self {
        Self {
            id: key.generation.clone(),
            status,
            compacted: outcome.compacted.clone(),
            chunk_count: outcome.chunk_count,
            bytes: outcome.bytes,
            sha256: outcome.sha256.clone(),
            last_validation_issue_id: outcome.last_validation_issue_id.clone(),
            was_compacted,
        }
    }
}
