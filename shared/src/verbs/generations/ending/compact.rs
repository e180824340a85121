//! `compact`: checks a log that has ended, puts its text and its events into the bucket, and writes the outcome on the record.
//!
//! In constant memory: a page of chunks, and a part of each of the two objects. May run twice, late, or beside itself: the
//! objects are the same bytes under the same keys each time, and the outcome is written once.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tracing::Instrument;

use crate::app::App;
use crate::aws::{BlobWriter, Blobs, Outcome, RecordRow};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::generation::Status;
use crate::ids::{GenerationId, GenerationKey};
use crate::limits;
use crate::log::assembly::Assembly;
use crate::log::chunk::{Chunk, LogState};
use crate::log::event::{End, NumberedEvent};
use crate::quota::{Allowance, DayUsage};
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

/// A log, read, checked and put into the bucket.
pub(in crate::verbs) struct Compacted {
    pub log: LogState,
    pub status: Status,
    pub end: End,
    pub ended_at_ms: i64,
    pub url: String,
    pub bytes: u64,
    pub sha256: String,
    /// The text, unless it is larger than [`limits::JSON_BYTES_MAX`].
    pub text: Option<String>,
    pub has_other_output: bool,
    /// What the log's chunks cost to write.
    pub write_units: u64,
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
        let record = self.records.get(key).await?;
        record_span_fields(record.request_id.as_deref(), &record.provider, &record.model);
        if let Some(outcome) = &record.outcome {
            self.delete_again(key).await?;
            return Ok(Compaction::new(key, record.status, outcome, true));
        }
        let Some(newest) = self.buffer.newest(key).await? else {
            return if self.is_open(key).await? {
                Err(Error::LogGone(id.to_string()))
            } else {
                self.compacted_by_another(key).await
            };
        };
        let Some((status, end)) = newest.end().map(|(status, end)| (status, end.clone())) else {
            return Err(Error::NotEnded(id.to_string(), "it is compacted by itself when it has"));
        };
        let compacted = match self.put_log(key, &newest, status, end).await {
            Ok(compacted) => compacted,
            // A purge takes away what is being read and put.
            Err(_) if !self.is_open(key).await? => return self.compacted_by_another(key).await,
            Err(error) => {
                self.give_up_damaged(key, &record, error).await?;
                return self.compacted_by_another(key).await;
            }
        };
        let Some(request) = self.request(key).await? else { return self.compacted_by_another(key).await };
        let mut facts = Facts {
            end: compacted.end.clone(),
            meta: self.meta_if_any(key).await,
            first_text_at_ms: compacted.log.first_text_at_ms,
            log_write_units: Some(compacted.write_units),
            ..Facts::default()
        };
        let (status, outcome) = self.judge(key, &record, &request, compacted, by).await?;
        let price = self.config.prices.find(&record.provider, &record.model);
        facts.cost = price.map(|price| price.of(outcome.usage.as_ref(), request.json_bytes(), outcome.received_bytes));
        if !self.finish(key, &record, status, &outcome, facts.cost).await? {
            return self.compacted_by_another(key).await;
        }
        facts.compaction = Some(began.elapsed());
        self.tell_outcome(&record, status, &outcome, &facts);
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
    async fn finish(
        &self,
        key: &GenerationKey,
        record: &RecordRow,
        status: Status,
        outcome: &Outcome,
        cost: Option<u64>,
    ) -> Result<bool, Error> {
        let Some(Allowance { day, .. }) = &record.allowance else { return self.records.finish(key, status, outcome).await };
        let used = DayUsage { generations: 0, output_bytes: outcome.received_bytes, spend: cost.unwrap_or(0) };
        self.records.finish_counted(key, status, outcome, day, used).await
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
        if self.request(key).await?.is_some_and(|request| request.delete_after) {
            self.buffer.delete(key).await?;
        }
        Ok(())
    }

    /// Puts the text and the events into the bucket. An upload that fails is given up: nothing half-done is visible.
    async fn put_log(&self, key: &GenerationKey, newest: &Chunk, status: Status, end: End) -> Result<Compacted, Error> {
        let mut copy = Copy::new(&self.blobs, key, newest.output_from);
        if let Err(error) = self.copy_pages(key, newest, &mut copy).await {
            copy.abort().await;
            return Err(error);
        }
        let url = match copy.text.finish().await {
            Ok(url) => url,
            Err(error) => {
                copy.events.abort().await;
                return Err(error);
            }
        };
        copy.events.finish().await?;
        let log = copy.log;
        let has_other_output = copy.assembly.has_other_output();
        let sha256 = format!("{:x}", copy.sha256.finalize());
        Ok(Compacted {
            log,
            status,
            end,
            ended_at_ms: newest.at_ms,
            url,
            bytes: copy.bytes,
            sha256,
            text: copy.kept,
            has_other_output,
            write_units: copy.write_units,
        })
    }

    async fn copy_pages(&self, key: &GenerationKey, newest: &Chunk, copy: &mut Copy) -> Result<(), Error> {
        let mut slot = Some(0);
        while let Some(from) = slot {
            let page = self.buffer.chunks(key, from).await?;
            slot = page.next_slot;
            copy.write_units += page.write_units;
            for chunk in page.chunks {
                copy.chunk(key, &chunk).await?;
            }
        }
        if copy.log.next_slot() == newest.next_slot() {
            return copy.end().await;
        }
        let damage = format!("it ends at {} where its last event is {}", copy.log.next_seq, newest.last_seq());
        Err(Error::LogDamaged(key.generation.to_string(), damage))
    }
}

/// The two objects in the making.
struct Copy {
    log: LogState,
    write_units: u64,
    assembly: Assembly,
    sha256: Sha256,
    bytes: u64,
    kept: Option<String>,
    text: BlobWriter,
    lines: GzEncoder<Vec<u8>>,
    events: BlobWriter,
}

impl Copy {
    fn new(blobs: &Blobs, key: &GenerationKey, output_from: u32) -> Self {
        Self {
            log: LogState::default(),
            write_units: 0,
            assembly: Assembly::new(output_from),
            sha256: Sha256::new(),
            bytes: 0,
            kept: Some(String::new()),
            text: blobs.writer(Blobs::output_key(key), "text/plain; charset=utf-8"),
            // Its header holds no time, so the same log gives the same bytes.
            lines: GzEncoder::new(Vec::new(), Compression::fast()),
            events: blobs.writer(Blobs::events_key(key), "application/gzip"),
        }
    }

    async fn chunk(&mut self, key: &GenerationKey, chunk: &Chunk) -> Result<(), Error> {
        let damaged = |damage: String| Error::LogDamaged(key.generation.to_string(), damage);
        self.log.apply(chunk).map_err(damaged)?;
        for (seq, event) in (chunk.first_seq..).zip(&chunk.events) {
            if let Some(text) = self.assembly.event(event) {
                self.sha256.update(text);
                self.bytes += text.len() as u64;
                keep(&mut self.kept, text);
                self.text.write(text.as_bytes()).await?;
            }
            let line =
                serde_json::to_vec(&NumberedEvent { seq, event: event.clone() }).map_err(|error| damaged(error.to_string()))?;
            self.lines.write_all(&line).and_then(|()| self.lines.write_all(b"\n")).map_err(|error| damaged(error.to_string()))?;
        }
        let packed = std::mem::take(self.lines.get_mut());
        self.events.write(&packed).await
    }

    /// What the compressor still holds.
    async fn end(&mut self) -> Result<(), Error> {
        let ended = self.lines.try_finish();
        ended.map_err(|error| Error::Configuration(format!("the event log could not be compressed: {error}")))?;
        let packed = std::mem::take(self.lines.get_mut());
        self.events.write(&packed).await
    }

    async fn abort(&mut self) {
        self.text.abort().await;
        self.events.abort().await;
    }
}

/// Keeps the text for as long as it is small enough to be parsed.
fn keep(kept: &mut Option<String>, text: &str) {
    match kept {
        Some(held) if held.len() + text.len() <= limits::JSON_BYTES_MAX => held.push_str(text),
        _ => *kept = None,
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

impl Compacted {
    /// When the log ended, RFC 3339.
    pub(in crate::verbs) fn ended_at(&self) -> String {
        rfc3339(self.ended_at_ms)
    }
}
