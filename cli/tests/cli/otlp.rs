//! `longhand dev --otlp`: what a collector receives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use longhand_local::Script;
use longhand_tests::sensitive::play;
use longhand_tests::{Api, PATIENCE};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::dev::Dev;

const PROMPT: &str = "Write down the harbour of Valparaíso in the morning.";
const OUTPUT: [&str; 2] = ["Cranes over the fog, ", "and gulls over the cranes."];

type Received = Arc<Mutex<Vec<(Span, String)>>>;

/// A collector: OTLP/HTTP with protobuf, at `/v1/traces`.
async fn collector() -> (String, Received) {
    let received = Received::default();
    let spans = Arc::clone(&received);
    let route = post(async move |headers: HeaderMap, body: Bytes| {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        for resource in request.resource_spans {
            let service = text(&resource.resource.unwrap_or_default().attributes, "service.name");
            let found = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.lock().unwrap().extend(found.map(|span| (span, service.clone())));
        }
        StatusCode::OK
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", route)).await });
    (url, received)
}

/// An attribute as text; empty where there is none.
fn text(attributes: &[KeyValue], name: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == name).and_then(|attribute| attribute.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(is_so)) => is_so.to_string(),
        _ => String::new(),
    }
}

#[tokio::test]
async fn a_collector_is_sent_the_spans_of_start_stream_and_compact_with_genai_attributes() {
    let (url, received) = collector().await;
    let playback = play(Script::new(OUTPUT)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let providers = json!({ "test": { "base_url": playback.base_url() } }).to_string();
    let (_dev, place) = Dev::start(folder.path(), &["--otlp", &url], &[("LONGHAND_PROVIDERS", &providers)]).await;
    let api = Api::open(&place.url).with_key(&place.key);
    let id = api.start_generation(json!({ "prompt": PROMPT })).await;
    api.ended(&id).await;

    let began = Instant::now();
    let spans = loop {
        let spans = received.lock().unwrap().clone();
        let about = |span: &Span| text(&span.attributes, "generation") == id;
        let named: BTreeMap<String, Span> =
            spans.iter().filter(|(span, _)| about(span)).map(|(span, _)| (span.name.clone(), span.clone())).collect();
        if ["start", "stream", "compact"].iter().all(|name| named.contains_key(*name)) {
            break spans;
        }
        assert!(began.elapsed() < PATIENCE, "still waiting: {:?}", named.keys());
        sleep(Duration::from_millis(50)).await;
    };
    assert!(spans.iter().all(|(_, service)| service == "longhand"));
    let find = |name: &str| spans.iter().map(|(span, _)| span).find(|span| span.name == name).unwrap();
    let request_id = text(&find("start").attributes, "request_id");
    for name in ["start", "stream", "compact"] {
        let attributes = &find(name).attributes;
        assert_eq!(text(attributes, "request_id"), request_id, "{name}");
        assert_eq!(
            (&*text(attributes, "gen_ai.provider.name"), &*text(attributes, "gen_ai.request.model")),
            ("test", "m"),
            "{name}"
        );
    }
    // The call of the provider lies within the stream, named and shaped by the convention.
    let (call, stream) = (find("chat m"), find("stream"));
    assert_eq!((call.kind, &call.parent_span_id, &call.trace_id), (3, &stream.span_id, &stream.trace_id));
    for (name, value) in [("gen_ai.operation.name", "chat"), ("gen_ai.response.model", "m"), ("gen_ai.usage.output_tokens", "2")]
    {
        assert_eq!(text(&call.attributes, name), value, "{name}");
    }
    assert!(text(&call.attributes, "gen_ai.response.time_to_first_chunk").parse::<f64>().unwrap() >= 0.0);
    let all = format!("{spans:?}");
    for said in [PROMPT, OUTPUT[0], OUTPUT[1], &place.key] {
        assert!(!all.contains(said), "{said:?} was exported");
    }
}
