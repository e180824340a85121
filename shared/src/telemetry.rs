//! Telemetry: the span around work on one generation, and the log lines that carry metrics.
//!
//! Attributes have the names of OpenTelemetry's conventions for GenAI where there is one
//! (<https://github.com/open-telemetry/semantic-conventions-genai>), others are in the words of [`crate`]. What was asked and what
//! was answered is in no line and in no span, and neither is a key.

use tracing::Span;

/// The target of the lines in [`MEASURED`]. They are logged at every level: lowering verbosity must not drop metrics.
pub const TARGET: &str = "longhand::measures";

/// The name of the line that ends an attempt.
pub const ATTEMPT: &str = "longhand.attempt";
/// The name of the line with a generation's outcome.
pub const OUTCOME: &str = "longhand.outcome";
/// The name of the line with the end of a run.
pub const RUN: &str = "longhand.run";
/// The name of the line that ends a sweep.
pub const SWEEP: &str = "longhand.sweep";

/// The name of the line that ends a try of a delivery.
pub const DELIVERY: &str = "longhand.delivery";

/// The metrics of one log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The name of the line.
    pub line: &'static str,
    /// The fields that are metrics, each with its CloudWatch unit. They are recorded without dimensions.
    pub metrics: &'static [(&'static str, &'static str)],
    /// The metrics that are recorded by dimensions as well. Each combination of values is a metric of its own, and has a price.
    pub dimensioned: &'static [&'static str],
    /// The dimensions: fields of the line.
    pub dimensions: &'static [&'static str],
}

/// Every metric. `docs/observability.md` explains each.
pub const MEASURED: [Measured; 5] = [
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
        dimensioned: &["gen_ai.response.time_to_first_chunk", "deltas_per_second"],
        dimensions: &["gen_ai.provider.name", "model"],
    },
    Measured {
        line: OUTCOME,
        metrics: &[
            ("generations_ended", "Count"),
            ("generations_failed", "Count"),
            ("attempts", "Count"),
            ("duration_ms", "Milliseconds"),
            ("output_bytes", "Bytes"),
            ("log_write_units", "Count"),
            ("compaction_ms", "Milliseconds"),
            ("gen_ai.usage.input_tokens", "Count"),
            ("gen_ai.usage.output_tokens", "Count"),
            ("cost_micro_dollars", "Count"),
            ("validation_issues", "Count"),
        ],
        dimensioned: &["generations_ended", "duration_ms", "cost_micro_dollars"],
        dimensions: &["gen_ai.provider.name", "model", "status"],
    },
    Measured {
        line: RUN,
        metrics: &[
            ("runs_ended", "Count"),
            ("runs_failed", "Count"),
            ("run_duration_ms", "Milliseconds"),
            ("run_cost_micro_dollars", "Count"),
        ],
        dimensioned: &["runs_failed"],
        dimensions: &["reason"],
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
            ("runs_over_time", "Count"),
        ],
        dimensioned: &[],
        dimensions: &[],
    },
    Measured {
        line: DELIVERY,
        metrics: &[
            ("deliveries_tried", "Count"),
            ("deliveries_succeeded", "Count"),
            ("deliveries_failed", "Count"),
            ("endpoints_disabled", "Count"),
            ("delivery_ms", "Milliseconds"),
        ],
        dimensioned: &[],
        dimensions: &[],
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
