//! Measures one attempt: its span, and the log line that ends it. The clock is read at its beginning, its first text and its end;
//! never at a delta.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use super::appender::Totals;
use super::{Attempt, Writer};
use crate::error::Error;
use crate::generation::Status;
use crate::generation::request::Request;
use crate::log::event::End;
use crate::telemetry;
use crate::verbs::stream::Streamed;

/// An attempt's measures so far.
pub(super) struct Measure {
    span: Span,
    asked_at: Instant,
    first_text_at: Option<Instant>,
    before: Totals,
}

impl Default for Measure {
    /// Before any attempt.
    fn default() -> Self {
        Self { span: Span::none(), asked_at: Instant::now(), first_text_at: None, before: Totals::default() }
    }
}

impl Measure {
    /// At an attempt's beginning; `before` it, the totals were these.
    pub fn new(request: &Request, attempt: u32, before: Totals) -> Self {
        let span = tracing::error_span!(
            "attempt",
            otel.name = format!("chat {}", request.model),
            otel.kind = "client",
            attempt,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = request.provider,
            gen_ai.request.model = request.model,
            gen_ai.request.stream = true,
            gen_ai.response.model = Empty,
            gen_ai.response.finish_reasons = Empty,
            gen_ai.response.time_to_first_chunk = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            "error.type" = Empty,
        );
        Self { span, before, ..Self::default() }
    }

    pub fn span(&self) -> Span {
        self.span.clone()
    }

    pub fn asks(&mut self) {
        self.asked_at = Instant::now();
    }

    /// Notes that text was received.
    pub fn text(&mut self) {
        self.first_text_at.get_or_insert_with(Instant::now);
    }

    pub const fn has_text(&self) -> bool {
        self.first_text_at.is_some()
    }

    fn time_to_first_chunk(&self) -> Option<Duration> {
        self.first_text_at.map(|at| at.saturating_duration_since(self.asked_at))
    }

    /// Deltas per second from the first text to now; `None` where there is no such time.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn per_second(&self, deltas: u64) -> Option<f64> {
        let seconds = self.first_text_at?.elapsed().as_secs_f64();
        (deltas > 1 && seconds > 0.0).then(|| (deltas - 1) as f64 / seconds)
    }
}

impl Writer {
    /// Logs the end of the last attempt, as its invocation's result has it.
    pub(super) fn report_result(&mut self, ran: &Result<Option<Streamed>, Error>) {
        match ran {
            Ok(Some(Streamed::Ended(status))) => self.report_ended(*status),
            Ok(Some(Streamed::HandedOver)) => self.report_attempt("handed_over", None),
            Ok(Some(Streamed::Fenced)) => self.report_attempt("fenced", None),
            // Nothing was written, and the caller tries again.
            Ok(_) => {}
            Err(error) => {
                let code = serde_json::to_value(error.code()).unwrap_or_default();
                self.report_attempt("broken_off", code.as_str());
            }
        }
    }

    fn report_ended(&mut self, status: Status) {
        let reason = self.attempt.end.reason.take().filter(|_| status == Status::Failed);
        self.report_attempt(status.as_str(), reason.as_deref());
    }

    /// Logs the end of an attempt. `stopped`: the generation's status if the attempt ended it; otherwise why the attempt stopped.
    pub(super) fn report_attempt(&mut self, stopped: &str, error: Option<&str>) {
        let Attempt { continues, end, usage, finish, measure, .. } = &self.attempt;
        let totals = self.appender.totals();
        let deltas = totals.deltas.saturating_sub(measure.before.deltas);
        let write_units = self.app.meter().reading().write_units;
        if let Some(usage) = usage {
            let span = &measure.span;
            span.record("gen_ai.usage.input_tokens", usage.input_tokens)
                .record("gen_ai.usage.output_tokens", usage.output_tokens);
        }
        record(&measure.span, end, finish.as_ref().map(|finish| &*finish.word), measure.time_to_first_chunk(), error);
        measure.span.in_scope(|| {
            tracing::info!(
                name: telemetry::ATTEMPT,
                target: telemetry::TARGET,
                attempts_ended = 1_u64,
                stopped,
                goes_on = continues,
                hand_overs = self.meta.hand_overs,
                model = self.app.config.prices.known_model(&self.request.provider, &self.request.model),
                deltas,
                deltas_per_second = measure.per_second(deltas),
                received_bytes = totals.bytes.saturating_sub(measure.before.bytes),
                flushes = totals.flushes.saturating_sub(measure.before.flushes),
                write_units = write_units.saturating_sub(self.reported_units),
                "An attempt has ended."
            );
        });
        self.reported_units = write_units;
    }
}

fn record(span: &Span, end: &End, finish: Option<&str>, first: Option<Duration>, error: Option<&str>) {
    if let Some(model) = end.model.as_deref() {
        span.record("gen_ai.response.model", model);
    }
    if let Some(reason) = end.finish_reason.as_deref().or(finish) {
        span.record("gen_ai.response.finish_reasons", telemetry::list(reason));
    }
    if let Some(first) = first {
        span.record("gen_ai.response.time_to_first_chunk", first.as_secs_f64());
    }
    if let Some(error) = error {
        span.record("error.type", error);
    }
}
