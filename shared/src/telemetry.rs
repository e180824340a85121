//! What the product tells of its work: the span around what is done for one generation, and the lines that are measured.
//!
//! Attributes have the names of OpenTelemetry's conventions for GenAI where there is one
//! (<https://github.com/open-telemetry/semantic-conventions-genai>), others are in the words of [`crate`]. What was asked and what
//! was answered is in no line and in no span, and neither is a key.

use tracing::Span;

/// The target of the lines in [`MEASURED`]. They are written whatever the level: who wants fewer lines wants his measures still.
pub const TARGET: &str = "longhand::measures";

/// The name of the line that ends an attempt.
pub const ATTEMPT: &str = "longhand.attempt";
/// The name of the one line that tells a generation's outcome.
pub const OUTCOME: &str = "longhand.outcome";
/// The name of the line that ends a sweep.
pub const SWEEP: &str = "longhand.sweep";

/// The measures that one line brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The line's name.
    pub line: &'static str,
    /// Fields of the line that are metrics, each with its unit in CloudWatch's words. They have no dimensions.
    pub metrics: &'static [(&'static str, &'static str)],
    /// Those of them that are told by dimensions too. Each set of values is a metric of its own, to be paid for.
    pub told_apart: &'static [&'static str],
    /// These dimensions: fields of the line.
    pub by: &'static [&'static str],
}

/// Every metric. `docs/observability.md` says what each is for.
pub const MEASURED: [Measured; 3] = [
    Measured {
        line: ATTEMPT,
        metrics: &[
            ("attempts_ended", "Count"),
            ("gen_ai.response.time_to_first_chunk", "Seconds"),
            ("deltas_per_second", "Count/Second"),
            ("flushes", "Count"),
            ("write_units", "Count"),
            ("received_bytes", "Bytes"),
        ],
        told_apart: &["gen_ai.response.time_to_first_chunk", "deltas_per_second"],
        by: &["gen_ai.provider.name", "model"],
    },
    Measured {
        line: OUTCOME,
        metrics: &[
            ("generations_ended", "Count"),
            ("attempts", "Count"),
            ("duration_ms", "Milliseconds"),
            ("output_bytes", "Bytes"),
            ("log_write_units", "Count"),
            ("compaction_ms", "Milliseconds"),
            ("gen_ai.usage.input_tokens", "Count"),
            ("gen_ai.usage.output_tokens", "Count"),
            ("cost_micro_dollars", "Count"),
        ],
        told_apart: &["generations_ended", "duration_ms", "cost_micro_dollars"],
        by: &["gen_ai.provider.name", "model", "status"],
    },
    Measured {
        line: SWEEP,
        metrics: &[
            ("open_generations", "Count"),
            ("streamed_again", "Count"),
            ("compacted_late", "Count"),
            ("timed_out", "Count"),
            ("not_swept", "Count"),
            ("oldest_open_seconds", "Seconds"),
        ],
        told_apart: &[],
        by: &[],
    },
];

/// A list of one, as attributes that are lists are told.
pub(crate) fn list(one: &str) -> String {
    serde_json::json!([one]).to_string()
}

/// A span around work on one generation. All levels let it pass, so that no line goes without its fields.
macro_rules! generation_span {
    ($name:literal, $key:expr) => {
        tracing::error_span!(
            $name,
            generation = %$key.generation,
            organization = %$key.organization,
            request_id = tracing::field::Empty,
            gen_ai.provider.name = tracing::field::Empty,
            gen_ai.request.model = tracing::field::Empty,
        )
    };
}
pub(crate) use generation_span;

/// Records the fields that [`generation_span`] leaves empty on the current span.
pub(crate) fn record_span_fields(request_id: Option<&str>, provider: &str, model: &str) {
    let span = Span::current();
    if let Some(id) = request_id {
        span.record("request_id", id);
    }
    span.record("gen_ai.provider.name", provider);
    span.record("gen_ai.request.model", model);
}
