//! Exports the functions' spans to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! Only this command has it: a function on AWS has no collector, and its archive is to stay small.

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

/// The longest that an ended span waits for others before it is sent.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// Bounds a request to the collector, and the end of the process.
const TIMEOUT: Duration = Duration::from_secs(5);
const SERVICE: &str = "longhand";

/// A running export. [`finish`](Self::finish) ends it.
pub struct Export(SdkTracerProvider);

impl Export {
    /// Sets up an export to the collector at `url`, such as `http://127.0.0.1:4318`. Needs a Tokio runtime. Nothing is sent yet.
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

    /// The tracer whose spans are exported.
    pub fn tracer(&self) -> SdkTracer {
        self.0.tracer(SERVICE)
    }

    /// Sends the spans that are left, and ends the export.
    pub async fn finish(self) {
        // The call blocks until this runtime has sent the requests.
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(TIMEOUT)).await;
        if let Ok(Err(error)) = ended {
            eprintln!("warning: the last traces were not exported: {error}");
        }
    }
}

/// The workspace's HTTP client. The exporter's own thread has no Tokio runtime, so it sends on this one.
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
            let response = http.execute(request).await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        });
        let (status, body) = sent.await??;
        Ok(Response::builder().status(status).body(body)?)
    }
}
