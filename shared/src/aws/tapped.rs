//! The SDK's HTTP client behind a [`Tap`].

use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

use crate::tap::{Call, Fate, Sickness, Tap};

/// The client of one service.
#[derive(Debug)]
pub(super) struct Tapped {
    pub service: &'static str,
    pub client: SharedHttpClient,
    pub tap: Arc<dyn Tap>,
}

#[derive(Debug)]
struct Connector {
    service: &'static str,
    inner: SharedHttpConnector,
    tap: Arc<dyn Tap>,
}

impl HttpClient for Tapped {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.client.http_connector(settings, components);
        SharedHttpConnector::new(Connector { service: self.service, inner, tap: Arc::clone(&self.tap) })
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let fate = self.tap.call(call(self.service, &request));
        let connector = self.inner.clone();
        HttpConnectorFuture::new(async move {
            match fate.await {
                Fate::Pass => connector.call(request).await,
                Fate::Refuse(Sickness::Broken) => Err(broken()),
                Fate::Refuse(Sickness::Answer { status, body }) => answer(status, body),
                Fate::Hold { until, lost } => {
                    let answer = connector.call(request).await;
                    until.await;
                    if lost { Err(broken()) } else { answer }
                }
            }
        })
    }
}

fn broken() -> ConnectorError {
    ConnectorError::io("the connection broke".into())
}

fn answer(status: u16, body: String) -> Result<HttpResponse, ConnectorError> {
    let status = status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
    Ok(HttpResponse::new(status, SdkBody::from(body)))
}

/// What a request is, read off the wire form of its service's protocol.
fn call(service: &'static str, request: &HttpRequest) -> Call {
    let (operation, resource) = match service {
        "s3" => s3(request),
        // `/2015-03-31/functions/NAME/invocations`
        "lambda" => ("InvokeFunction".to_owned(), path(request).split('/').nth(3).unwrap_or_default().replace("%3A", ":")),
        _ => json_protocol(request),
    };
    Call { service, operation, resource }
}

fn json_protocol(request: &HttpRequest) -> (String, String) {
    let target = request.headers().get("x-amz-target").and_then(|target| target.split('.').nth(1)).unwrap_or_default();
    let body: Value = request.body().bytes().and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let in_batch = || body["RequestItems"].as_object().and_then(|tables| tables.keys().next().cloned());
    let name = text("TableName").or_else(|| text("SecretId")).or_else(in_batch).unwrap_or_default();
    let resource = text("IndexName").map_or_else(|| name.clone(), |index| format!("{name}/index/{index}"));
    (target.to_owned(), resource)
}

/// Path style: `/bucket/key?…&x-id=GetObject`. Three operations of an upload have no `x-id`.
fn s3(request: &HttpRequest) -> (String, String) {
    let query = request.uri().split_once('?').map_or("", |(_, query)| query);
    let named = query.split('&').find_map(|pair| pair.strip_prefix("x-id="));
    let operation = match (named, request.method()) {
        (Some(named), _) => named,
        (None, "POST") if query.split('&').any(|pair| pair == "uploads" || pair.starts_with("uploads=")) => {
            "CreateMultipartUpload"
        }
        (None, "POST") => "CompleteMultipartUpload",
        (None, "DELETE") => "DeleteObject",
        (None, "HEAD") => "HeadObject",
        (None, method) => method,
    };
    let key = path(request).splitn(3, '/').nth(2).unwrap_or_default();
    (operation.to_owned(), key.to_owned())
}

/// Behind `http://host:port`, up to the query.
fn path(request: &HttpRequest) -> &str {
    let uri = request.uri();
    let behind_scheme = uri.find("://").map_or(uri, |at| &uri[at + 3..]);
    let path = behind_scheme.find('/').map_or("", |at| &behind_scheme[at..]);
    path.split_once('?').map_or(path, |(path, _)| path)
}
