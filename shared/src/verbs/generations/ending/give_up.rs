//! Ends a generation whose log is unusable: it expired before it was compacted, or contradicts itself. The record gets a status
//! and a reason, but there is no blob.

use serde_json::{Map, Value};

use crate::app::App;
use crate::aws::{Outcome, RecordRow};
use crate::clock::{millis, millis_of, rfc3339};
use crate::error::Error;
use crate::generation::{Failure, Status};
use crate::ids::GenerationKey;
use crate::log::reason;
use crate::verbs::generations::ending::outcome::Facts;
use crate::verbs::stream::{Streamed, failed};

/// Tries to end a log that a writer is still appending to.
const END_TRIES_MAX: u32 = 8;

impl App {
    /// Ends a generation whose time is over, and fences off its writer. `by` is the function that does so. `false`: the
    /// generation has ended in another way.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn end_over_time(&self, key: &GenerationKey, record: &RecordRow, by: &str) -> Result<bool, Error> {
        let message = format!("it took longer than {} s", self.time_limit(record.timeout_seconds).as_secs());
        for _ in 0..END_TRIES_MAX {
            let meta = self.buffer.meta(key).await?;
            let log = match self.read_log(key).await {
                Ok(log) => log,
                Err(error) => return self.give_up_damaged(key, record, error, by).await.map(|()| true),
            };
            // Read after the log: a log that was compacted and deleted must not look like one that has not begun.
            if log.end.is_some() || !self.is_open(key).await? {
                return Ok(false);
            }
            if log.is_empty() && self.may_have_expired(record) {
                return self.give_up(key, record, Failure { code: reason::TIMEOUT.into(), message }, by).await;
            }
            let end = failed(reason::TIMEOUT, message.clone());
            if let Streamed::Ended(_) = self.append_end(key, log.next_slot(), meta.as_ref(), end).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the slots of a log that looks empty may hold expired chunks that are not deleted yet.
    fn may_have_expired(&self, record: &RecordRow) -> bool {
        let created = millis_of(&record.created_at).unwrap_or_default();
        self.clock.now_ms() >= created + millis(self.config.chunk_ttl)
    }

    /// Writes the outcome without a log. `by` is the function or command that does so. `false`: there is an outcome already.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn give_up(
        &self,
        key: &GenerationKey,
        record: &RecordRow,
        failure: Failure,
        by: &str,
    ) -> Result<bool, Error> {
        let now = rfc3339(self.clock.now_ms());
        let entries = [
            ("provider", record.provider.as_str()),
            ("model", &record.model),
            ("sent_at", &record.created_at),
            ("completed_at", &now),
            ("error", &failure.code),
            ("message", &failure.message),
        ];
        let metadata: Map<String, Value> = entries.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let outcome = Outcome {
            completed_at: now.clone(),
            reason: Some(failure.code.clone()),
            error: Some(failure.clone()),
            compacted: None,
            compacted_at: now,
            compacted_by: by.to_owned(),
            chunk_count: 0,
            received_chunks: 0,
            received_bytes: 0,
            last_seq: 0,
            event_places: Vec::new(),
            sha256: None,
            bytes: 0,
            has_other_output: false,
            usage: None,
            attempts: None,
            cost: None,
            finish_reason: None,
            metadata: Value::Object(metadata).to_string(),
            llm_response: None,
            last_validation_issue_id: None,
        };
        let meta = self.meta_if_any(key).await;
        // Before the outcome, so that no retry of a generation that was given up finds its request expired.
        self.records.keep_request(key).await?;
        let is_written = self.records.finish(key, Status::Failed, &outcome, None).await?;
        if is_written {
            tracing::error!(reason = failure.code, "A generation was given up without its log: {}.", failure.message);
            self.report_outcome(record, Status::Failed, &outcome, &Facts { meta, ..Facts::default() });
        }
        Ok(is_written)
    }

    /// Gives up a generation if `error` is [`Error::LogDamaged`].
    ///
    /// # Errors
    /// `error`, if it is another one; [`Error::Aws`].
    pub(in crate::verbs) async fn give_up_damaged(
        &self,
        key: &GenerationKey,
        record: &RecordRow,
        error: Error,
        by: &str,
    ) -> Result<(), Error> {
        let Error::LogDamaged(_, damage) = &error else { return Err(error) };
        let failure = Failure { code: reason::LOG_DAMAGED.into(), message: format!("its log contradicts itself: {damage}") };
        self.give_up(key, record, failure, by).await.map(|_| ())
    }
}
