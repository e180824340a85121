//! Log lines: one JSON object each. The fields of the event and of all spans around it are at the root, so that a search needs
//! no span. A measured line also has the metrics that CloudWatch extracts.
//!
//! Libraries log at `INFO` at most: below it they print requests, with prompts and keys.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use longhand::Clock;
use longhand::clock::rfc3339;
use longhand::telemetry::{MEASURED, TARGET};
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

/// The prefix of this product's targets.
const OURS: &str = "longhand";

/// Starts logging to stdout.
pub fn start(filter: &str, namespace: Option<String>) {
    layered(filter, JsonLines { writer: io::stdout, namespace }).init();
}

/// A subscriber for the lines that pass `filter`, and for measured lines, which always pass.
pub fn layered<W>(filter: &str, lines: JsonLines<W>) -> impl Subscriber + Send + Sync + for<'a> LookupSpan<'a>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let measured = format!("{TARGET}=info").parse();
    let filter = measured.into_iter().fold(filter, EnvFilter::add_directive);
    Registry::default().with(filter).with(lines)
}

/// The layer that writes the lines.
pub struct JsonLines<W> {
    /// The destination.
    pub writer: W,
    /// The namespace of the metrics; `None`: lines have no metrics.
    pub namespace: Option<String>,
}

/// The fields recorded on a span.
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with(OURS) || *metadata.level() <= Level::INFO
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut Collector(&mut fields));
        if let Some(span) = context.span(id).filter(|span| span.metadata().target().starts_with(OURS)) {
            span.extensions_mut().insert(Fields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(Fields(fields)) = span.extensions_mut().get_mut() {
            values.record(&mut Collector(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let now = Clock::system().now_ms();
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".into(), rfc3339(now).into());
        line.insert("level".into(), metadata.level().as_str().into());
        event.record(&mut Collector(&mut line));
        line.insert("target".into(), metadata.target().into());
        // From the inside out: the field of an inner span wins.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Fields(fields)) = span.extensions().get() {
                for (name, value) in fields {
                    line.entry(name).or_insert_with(|| value.clone());
                }
            }
        }
        if let Some(metrics) = self.namespace.as_ref().and_then(|namespace| metrics(metadata.name(), namespace, now, &line)) {
            line.insert("_aws".into(), metrics);
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // There is nowhere to report a failed write.
        let _ = self.writer.make_writer_for(metadata).write_all(text.as_bytes());
    }
}

/// The line's `_aws` member in CloudWatch's embedded metric format
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>), which
/// names the line's fields that are metrics.
fn metrics(name: &str, namespace: &str, now_ms: i64, line: &Map<String, Value>) -> Option<Value> {
    let measured = MEASURED.iter().find(|measured| measured.line == name)?;
    let has = |name: &&str| line.contains_key(*name);
    let directive = |dimensions: &[&str], is_metric: &dyn Fn(&str) -> bool| {
        let metrics = measured.metrics.iter().filter(|(name, _)| has(name) && is_metric(name));
        let metrics: Vec<Value> = metrics.map(|(name, unit)| json!({ "Name": name, "Unit": unit })).collect();
        json!({ "Namespace": namespace, "Dimensions": [dimensions], "Metrics": metrics })
    };
    let mut directives = vec![directive(&[], &|_| true)];
    if !measured.dimensions.is_empty() && measured.dimensions.iter().all(has) {
        directives.push(directive(measured.dimensions, &|name| measured.dimensioned.contains(&name)));
    }
    Some(json!({ "Timestamp": now_ms, "CloudWatchMetrics": directives }))
}

/// Collects fields in a JSON object.
struct Collector<'a>(&'a mut Map<String, Value>);

impl Collector<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        // These fields shape an exported span, and are no fields of a line.
        if !field.name().starts_with("otel.") {
            self.0.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Collector<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // The one attribute that is a list, as JSON: `tracing` has no lists.
        let list = field.name().ends_with(".finish_reasons").then(|| serde_json::from_str(value).ok()).flatten();
        self.put(field, list.unwrap_or_else(|| value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        if write!(text, "{value:?}").is_ok() {
            self.put(field, text.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use longhand::telemetry::ATTEMPT;
    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, namespace: Option<&str>, logs: impl FnOnce()) -> Vec<Value> {
        let memory = Memory::default();
        let writer = memory.clone();
        let lines = JsonLines { writer: move || writer.clone(), namespace: namespace.map(str::to_owned) };
        with_default(layered(filter, lines), logs);
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn span_fields_are_at_the_root_and_the_innermost_wins() {
        let lines = logged("info", None, || {
            let outer = tracing::error_span!("outer", otel.kind = "server", request_id = "outer", faas.name = "start");
            let _outer = outer.entered();
            let inner = tracing::error_span!("inner", request_id = tracing::field::Empty, attempt = 1);
            inner.record("request_id", "inner");
            let _inner = inner.entered();
            tracing::warn!(attempt = 2, gen_ai.response.finish_reasons = "[\"stop\"]", "Quoted \"text\".");
        });
        let mut line = lines[0].clone();
        assert!(line.as_object_mut().unwrap().remove("timestamp").unwrap().as_str().unwrap().ends_with('Z'));
        let expected = json!({
            "level": "WARN", "message": "Quoted \"text\".", "attempt": 2, "gen_ai.response.finish_reasons": ["stop"],
            "target": module_path!(), "request_id": "inner", "faas.name": "start",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn libraries_log_nothing_below_info() {
        let lines = logged("trace", None, || {
            tracing::debug!(target: "aws_smithy_runtime", "a request with its body");
            tracing::trace!(target: "hyper::proto", "bytes");
            tracing::info!(target: "lambda_runtime", "a library");
            tracing::trace!("ours");
        });
        let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(messages, ["a library", "ours"]);
    }

    #[test]
    fn measured_lines_pass_every_filter_with_their_metrics() {
        let logs = || {
            tracing::info!("dropped");
            tracing::info!(name: ATTEMPT, target: TARGET, attempts_ended = 1, model = "m", "{}", "An attempt.");
        };
        let lines = logged("error", Some("stack"), logs);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let metrics = json!([{ "Name": "attempts_ended", "Unit": "Count" }]);
        // The dimension `provider` is missing: only the sum over all is counted.
        let expected = json!([{ "Namespace": "stack", "Dimensions": [[]], "Metrics": metrics }]);
        assert_eq!(lines[0]["_aws"]["CloudWatchMetrics"], expected);
        assert!(logged("error", None, logs)[0].get("_aws").is_none(), "without a namespace there are no metrics");
    }
}
