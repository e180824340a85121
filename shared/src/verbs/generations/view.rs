//! A generation as callers see it: its record and, until the record is final, the newest chunk of its log.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::app::App;
use crate::aws::{Outcome, RecordRow};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::generation::{Failure, Generation, Progress, Status};
use crate::ids::GenerationKey;
use crate::log::chunk::Chunk;

impl App {
    /// The generation of a record, completed from the log if the record is not final.
    pub(in crate::verbs) async fn view(&self, record: RecordRow) -> Result<Generation, Error> {
        let key = GenerationKey::new(record.organization.clone(), record.generation.clone());
        let (record, newest) = self.newest(&key, record).await?;
        Ok(Generation::new(record, newest.as_ref()))
    }

    /// The record, and the newest chunk if the record is not final.
    pub(in crate::verbs) async fn newest(
        &self,
        key: &GenerationKey,
        record: RecordRow,
    ) -> Result<(RecordRow, Option<Chunk>), Error> {
        if record.outcome.is_some() {
            return Ok((record, None));
        }
        let newest = self.buffer.newest(key).await?;
        Ok((self.reload_if_empty(key, record, newest.as_ref()).await?, newest))
    }

    /// Reads the record again if it has no outcome and the buffer is empty: either the generation has not begun, or it was
    /// compacted, and its buffer deleted, between the two reads.
    pub(in crate::verbs) async fn reload_if_empty(
        &self,
        key: &GenerationKey,
        record: RecordRow,
        newest: Option<&Chunk>,
    ) -> Result<RecordRow, Error> {
        if record.outcome.is_some() || newest.is_some() {
            return Ok(record);
        }
        self.records.get(key).await
    }
}

/// A generation's status. After a `completed` event it is still `running`, until the blob is in the bucket and checked. Any
/// other terminal event is final, and is reported at once.
pub(in crate::verbs) fn status(record: &RecordRow, newest: Option<&Chunk>) -> Status {
    if record.outcome.is_some() {
        return record.status;
    }
    match newest.map(Chunk::end) {
        None => Status::Pending,
        Some(None | Some((Status::Completed, _))) => Status::Running,
        Some(Some((status, _))) => status,
    }
}

/// Whether the log has ended, stored or not.
pub(in crate::verbs) fn has_ended(record: &RecordRow, newest: Option<&Chunk>) -> bool {
    record.outcome.is_some() || newest.is_some_and(|chunk| chunk.end().is_some())
}

/// A generation's progress, from the outcome or the newest chunk.
pub(in crate::verbs) fn progress(record: &RecordRow, newest: Option<&Chunk>) -> Progress {
    let (expected_bytes, expected_chunks) = (record.expected_total_bytes, record.expected_total_chunks);
    let mut progress = Progress { expected_total_bytes: expected_bytes, total_chunks: expected_chunks, ..Progress::default() };
    if let Some(outcome) = &record.outcome {
        let metadata: Value = serde_json::from_str(&outcome.metadata).unwrap_or_default();
        let moment = |name: &str| metadata[name].as_str().map(str::to_owned);
        progress.received_chunks = outcome.received_chunks;
        progress.received_bytes = outcome.received_bytes;
        progress.chunk_count = outcome.chunk_count;
        progress.last_seq = Some(outcome.last_seq);
        progress.first_chunk_at = moment("first_chunk_at");
        progress.last_chunk_at = moment("last_chunk_at");
    } else if let Some(chunk) = newest {
        progress.received_chunks = chunk.counters.received_chunks;
        progress.received_bytes = chunk.counters.stored_bytes;
        progress.chunk_count = chunk.counters.chunk_count;
        progress.last_seq = Some(chunk.last_seq());
        progress.last_chunk_at = Some(rfc3339(chunk.at_ms));
    }
    progress.count_against_total(status(record, newest) == Status::Completed);
    progress
}

impl Generation {
    pub(in crate::verbs) fn new(record: RecordRow, newest: Option<&Chunk>) -> Self {
        let status = status(&record, newest);
        let progress = progress(&record, newest);
        let batch = record.item().map(|(parent, _)| parent.batch);
        let mut generation = Self {
            id: record.generation,
            object: "generation",
            status,
            finalizing: false,
            retry_of: record.retry_of,
            subject: record.subject,
            batch,
            reason: None,
            error: None,
            finish_reason: None,
            provider: record.provider,
            model: record.model,
            created_at: record.created_at,
            completed_at: None,
            attempts: None,
            progress,
            usage: None,
            cost: None,
            chunk_count: None,
            compacted: None,
            compacted_at: None,
            compacted_by: None,
            sha256: None,
            bytes: None,
            metadata: serde_json::Map::new(),
            request_metadata: record.request_metadata.and_then(|own| serde_json::from_str(&own).ok()).unwrap_or_default(),
            llm_response: None,
            last_validation_issue_id: None,
            accepted_subject: None,
            accepted_at: None,
            accepted_by: None,
        };
        if let Some(accepted) = record.accepted {
            generation.accepted_subject = Some(accepted.accepted_subject);
            generation.accepted_at = Some(accepted.accepted_at);
            generation.accepted_by = accepted.accepted_by;
        }
        if let Some(outcome) = record.outcome {
            generation.finish(outcome);
        } else if let Some((chunk, (_, end))) = newest.and_then(|chunk| Some((chunk, chunk.end()?))) {
            generation.finalizing = true;
            if !status.is_terminal() {
                return generation;
            }
            generation.completed_at = Some(rfc3339(chunk.at_ms));
            generation.reason.clone_from(&end.reason);
            generation.finish_reason.clone_from(&end.finish_reason);
            generation.usage = end.usage;
            if status == Status::Failed {
                let code = end.reason.clone().unwrap_or_default();
                generation.error = Some(Failure { code, message: end.message.clone().unwrap_or_default() });
            }
        }
        generation
    }

    fn finish(&mut self, outcome: Outcome) {
        self.reason = outcome.reason;
        self.error = outcome.error;
        self.finish_reason = outcome.finish_reason;
        self.completed_at = Some(outcome.completed_at);
        self.attempts = outcome.attempts;
        self.usage = outcome.usage;
        self.cost = outcome.cost;
        self.chunk_count = Some(outcome.chunk_count);
        self.compacted = outcome.compacted;
        self.compacted_at = Some(outcome.compacted_at);
        self.compacted_by = Some(outcome.compacted_by);
        self.sha256 = outcome.sha256;
        self.bytes = Some(outcome.bytes);
        self.metadata = serde_json::from_str(&outcome.metadata).unwrap_or_default();
        self.llm_response = outcome.llm_response.and_then(|json| RawValue::from_string(json).ok());
        self.last_validation_issue_id = outcome.last_validation_issue_id;
    }
}
