//! The one log line that reports a generation's outcome. Only the caller that wrote the outcome on the record logs it.

use std::time::Duration;

use crate::app::App;
use crate::aws::{Meta, Outcome, RecordRow};
use crate::clock::millis_of;
use crate::generation::Status;
use crate::ids::GenerationKey;
use crate::log::event::End;
use crate::telemetry;

/// What the line reports beside the outcome.
#[derive(Default)]
pub(in crate::verbs) struct Facts {
    /// How the log ended.
    pub end: End,
    /// `None` after it has expired.
    pub meta: Option<Meta>,
    /// When the first chunk with text was stored.
    pub first_text_at_ms: Option<i64>,
    /// Write units that the log's chunks cost.
    pub log_write_units: Option<u64>,
    /// The duration of the compaction.
    pub compaction: Option<Duration>,
}

impl App {
    /// The meta for the line. An error of the read does not stop the compaction.
    pub(in crate::verbs) async fn meta_if_any(&self, key: &GenerationKey) -> Option<Meta> {
        self.buffer.meta(key).await.ok().flatten()
    }

    /// Logs the line. The surrounding span has the generation's id, organization, provider and model.
    pub(in crate::verbs) fn report_outcome(&self, record: &RecordRow, status: Status, outcome: &Outcome, facts: &Facts) {
        let since_created = |at: i64| millis_of(&record.created_at).map(|created| at.saturating_sub(created).max(0));
        let usage = outcome.usage.as_ref().map(|usage| &usage.total);
        let meta = facts.meta.as_ref();
        tracing::info!(
            name: telemetry::OUTCOME,
            target: telemetry::TARGET,
            generations_ended = 1_u64,
            generations_failed = u64::from(status == Status::Failed),
            status = status.as_str(),
            reason = outcome.reason,
            "error.type" = outcome.error.as_ref().map(|error| error.code.as_str()),
            gen_ai.operation.name = "chat",
            gen_ai.response.model = facts.end.model,
            gen_ai.response.finish_reasons = facts.end.finish_reason.as_deref().map(telemetry::list),
            gen_ai.usage.input_tokens = usage.map(|usage| usage.input_tokens),
            gen_ai.usage.output_tokens = usage.map(|usage| usage.output_tokens),
            model = self.config.prices.known_model(&record.provider, &record.model),
            attempts = meta.map(|meta| meta.attempt),
            hand_overs = meta.map(|meta| meta.hand_overs),
            first_text_ms = facts.first_text_at_ms.and_then(since_created),
            duration_ms = millis_of(&outcome.completed_at).and_then(since_created),
            chunk_count = outcome.chunk_count,
            deltas = outcome.received_chunks,
            output_bytes = outcome.received_bytes,
            log_write_units = facts.log_write_units,
            cost_micro_dollars = outcome.cost,
            validation_issues = u64::from(outcome.last_validation_issue_id.is_some()),
            compaction_ms = facts.compaction.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            compacted_by = outcome.compacted_by,
            "A generation has ended."
        );
    }
}
