//! What one attempt came to: its span, and the line that ends it. Measured at its beginning, its first text and its end, and at
//! each flush; never at a delta.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use super::Writer;
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
    flushes: u64,
    deltas_before: u64,
    bytes_before: u64,
}

impl Measure {
    /// Of no attempt yet.
    pub fn none() -> Self {
        let asked_at = Instant::now();
        Self { span: Span::none(), asked_at, first_text_at: None, flushes: 0, deltas_before: 0, bytes_before: 0 }
    }

    fn new(request: &Request, attempt: u32, (deltas_before, bytes_before): (u64, u64)) -> Self {
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
        Self { span, deltas_before, bytes_before, ..Self::none() }
    }

    pub fn span(&self) -> Span {
        self.span.clone()
    }

    pub fn asks(&mut self) {
        self.asked_at = Instant::now();
    }

    /// Text has come.
    pub fn text(&mut self) {
        self.first_text_at.get_or_insert_with(Instant::now);
    }

    pub const fn has_text(&self) -> bool {
        self.first_text_at.is_some()
    }

    pub const fn flushed(&mut self) {
        self.flushes += 1;
    }

    fn time_to_first_chunk(&self) -> Option<Duration> {
        self.first_text_at.map(|at| at.saturating_duration_since(self.asked_at))
    }

    /// From the first text to now. A stretch that is too short to be measured has no rate.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn per_second(&self, deltas: u64) -> Option<f64> {
        let seconds = self.first_text_at?.elapsed().as_secs_f64();
        (deltas > 1 && seconds > 0.0).then(|| (deltas - 1) as f64 / seconds)
    }
}

impl Writer {
    pub(super) fn measure_anew(&mut self) {
        let before = (self.composer.received_chunks(), self.received_bytes);
        self.measure = Measure::new(&self.request, self.meta.attempt, before);
    }

    /// The attempt's end, as its invocation's result has it.
    pub(super) fn tell_result(&mut self, ran: &Result<Option<Streamed>, Error>) {
        match ran {
            Ok(Some(Streamed::Ended(status))) => self.tell_ended(*status),
            Ok(Some(Streamed::HandedOver)) => self.tell_attempt("handed_over", None),
            Ok(Some(Streamed::Fenced)) => self.tell_attempt("fenced", None),
            // Nothing was written, and it is tried again.
            Ok(_) => {}
            Err(error) => {
                let code = serde_json::to_value(error.code()).unwrap_or_default();
                self.tell_attempt("broken_off", code.as_str());
            }
        }
    }

    fn tell_ended(&mut self, status: Status) {
        let reason = self.end.reason.take().filter(|_| status == Status::Failed);
        self.tell_attempt(status.as_str(), reason.as_deref());
    }

    /// Writes the line. `stopped`: the generation's status where this attempt ended it, or why it goes on without it.
    pub(super) fn tell_attempt(&mut self, stopped: &str, error: Option<&str>) {
        let Measure { span, flushes, deltas_before, bytes_before, .. } = &self.measure;
        let deltas = self.composer.received_chunks().saturating_sub(*deltas_before);
        let write_units = self.app.meter().reading().write_units;
        record(span, &self.end, self.finish.as_deref(), self.measure.time_to_first_chunk(), error);
        span.in_scope(|| {
            tracing::info!(
                name: telemetry::ATTEMPT,
                target: telemetry::TARGET,
                attempts_ended = 1_u64,
                stopped,
                goes_on = self.goes_on,
                hand_overs = self.meta.hand_overs,
                model = self.app.config.prices.known_model(&self.request.provider, &self.request.model),
                deltas,
                deltas_per_second = self.measure.per_second(deltas),
                received_bytes = self.received_bytes.saturating_sub(*bytes_before),
                flushes,
                write_units = write_units.saturating_sub(self.told_units),
                "An attempt has ended."
            );
        });
        self.told_units = write_units;
    }
}

fn record(span: &Span, end: &End, finish: Option<&str>, first: Option<Duration>, error: Option<&str>) {
    if let Some(usage) = &end.usage {
        span.record("gen_ai.usage.input_tokens", usage.input_tokens).record("gen_ai.usage.output_tokens", usage.output_tokens);
    }
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
