//! Traces by OTLP over HTTP, for a stack on this machine: the spans that the functions have, as OpenTelemetry's.
//!
//! In this command only: a function on AWS has no collector, and its archive no room.

use anyhow::Context as _;
use async_trait::async_trait;
use http::{Request, Response};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider};
use reqwest::Url;
use tokio::runtime::Handle;

use std::time::Duration;

/// Spans that have ended wait this long for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// A collector that does not answer must not hold up the end.
const TIMEOUT: Duration = Duration::from_secs(5);
const SERVICE: &str = "longhand";

/// The export, until [`finish`](Self::finish).
pub struct Export(SdkTracerProvider);

impl Export {
    /// To the collector at `url`, such as `http://127.0.0.1:4318`. Needs a Tokio runtime. Nothing is sent yet.
    pub fn to(url: &Url) -> anyhow::Result<Self> {
        let endpoint = format!("{}/v1/traces", url.as_str().trim_end_matches('/'));
        let client = Client { http: reqwest::Client::builder().timeout(TIMEOUT).build()?, runtime: Handle::current() };
        let exporter = SpanExporter::builder().with_http().with_http_client(client).with_protocol(Protocol::HttpBinary);
        let exporter = exporter.with_endpoint(&endpoint).with_timeout(TIMEOUT).build();
        let exporter = exporter.with_context(|| format!("traces cannot be exported to {endpoint}"))?;
        let batch = BatchConfigBuilder::default().with_scheduled_delay(BATCH_DELAY).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batch).build();
        let resource = Resource::builder().with_service_name(SERVICE).build();
        Ok(Self(SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build()))
    }

    /// What makes spans.
    pub fn tracer(&self) -> SdkTracer {
        self.0.tracer(SERVICE)
    }

    /// Sends what is left.
    pub async fn finish(self) {
        // It waits for the requests, which this runtime makes.
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(TIMEOUT)).await;
        if let Ok(Err(error)) = ended {
            eprintln!("warning: the last traces were not exported: {error}");
        }
    }
}

/// This workspace's own HTTP client, on its own runtime: the exporter's thread has none.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (http, request) = (self.http.clone(), reqwest::Request::try_from(request)?);
        let sent = self.runtime.spawn(async move {
            let answer = http.execute(request).await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        });
        let (status, body) = sent.await??;
        Ok(Response::builder().status(status).body(body)?)
    }
}
