//! The embedded services in process: an HTTP client of the SDK that passes each request to the service it is for, without a socket.
//!
//! The SDK's calls are the same as on AWS. Requests to other addresses (a provider's secret store in a test) are sent over the network.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::{
    connection::{CaptureSmithyConnection, ConnectionMetadata},
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use sync_wrapper::SyncStream;
use tower::ServiceExt;

/// The services of one stack by the authority of their endpoint. Clones share them.
#[derive(Clone, Default)]
pub struct Services(Arc<RwLock<BTreeMap<String, Service>>>);

/// Answers a request of the AWS JSON protocol: the value of `X-Amz-Target`, and the document.
pub type Operations = Arc<dyn Fn(String, Bytes) -> BoxFuture<'static, (StatusCode, Vec<u8>)> + Send + Sync>;

#[derive(Clone)]
struct Service {
    router: Router,
    /// For the SDK in this process, which needs neither a router nor a stream for a document that it has in memory.
    operations: Option<Operations>,
}

impl fmt::Debug for Services {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Services")
    }
}

impl Services {
    /// Adds the service at `endpoint`, `http://AUTHORITY`.
    pub fn add(&self, endpoint: &str, router: Router) {
        self.insert(endpoint, Service { router, operations: None });
    }

    /// The same for a service whose operations the SDK in this process calls without the router.
    pub fn add_operations(&self, endpoint: &str, router: Router, operations: Operations) {
        self.insert(endpoint, Service { router, operations: Some(operations) });
    }

    fn insert(&self, endpoint: &str, service: Service) {
        let authority = endpoint.trim_start_matches("http://").to_owned();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(authority, service);
    }

    /// The same services, except that `router` serves `endpoint`.
    #[must_use]
    pub fn with(&self, endpoint: &str, router: Router) -> Self {
        let services = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let changed = Self(Arc::new(RwLock::new(services)));
        changed.add(endpoint, router);
        changed
    }

    /// The client through which the SDK reaches the services.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(InProcess { services: self.clone(), network: Builder::new().build_http() })
    }

    /// All services as one, by the `Host` of each request.
    pub fn by_host(&self) -> Router {
        Router::new().fallback(dispatch).with_state(self.clone())
    }

    fn find(&self, authority: &str) -> Option<Service> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(authority).cloned()
    }
}

async fn dispatch(State(services): State<Services>, request: Request) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match services.find(host) {
        Some(service) => send(service.router, request).await,
        None => (StatusCode::MISDIRECTED_REQUEST, format!("no service has the address {host:?}")).into_response(),
    }
}

async fn send(router: Router, request: Request) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

impl Service {
    async fn answer(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = sent(request)?;
        if let Some(operations) = self.operations.filter(|_| request.body().bytes().is_some()) {
            let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
            let target = target.to_owned();
            // Read to its end, although it is in memory: the SDK gives up a request whose body is never read.
            let document = request.into_body().collect().await.map_err(other)?.to_bytes();
            let (status, body) = operations(target, document).await;
            return axum::http::Response::builder()
                .status(status)
                .body(SdkBody::from(body))
                .map_err(other)?
                .try_into()
                .map_err(other);
        }
        received(send(self.router, request.map(Body::new)).await)
    }
}

#[derive(Debug)]
struct InProcess {
    services: Services,
    network: SharedHttpClient,
}

impl HttpClient for InProcess {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let network = self.network.http_connector(settings, components);
        SharedHttpConnector::new(Connector { services: self.services.clone(), network })
    }
}

#[derive(Debug)]
struct Connector {
    services: Services,
    network: SharedHttpConnector,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let authority = request.uri().parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
        match authority.and_then(|authority| self.services.find(&authority)) {
            Some(service) => HttpConnectorFuture::new(service.answer(request)),
            None => self.network.call(request),
        }
    }
}

/// A request as a server reads it: with its `Host`, which the SDK has signed.
pub fn sent(request: HttpRequest) -> Result<axum::http::Request<SdkBody>, ConnectorError> {
    let mut request = request.try_into_http1x().map_err(other)?;
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(&host).map_err(other)?);
    // After some failures the SDK closes the connection, and it logs an error where there is none.
    if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
        capture.set_connection_retriever(|| Some(ConnectionMetadata::builder().proxied(false).poison_fn(|| {}).build()));
    }
    Ok(request)
}

/// A response as the SDK reads it.
pub fn received<B>(response: axum::http::Response<B>) -> Result<HttpResponse, ConnectorError>
where
    B: axum::body::HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    // A body of the SDK may be shared between threads, and axum's may not.
    let body = |body| StreamBody::new(SyncStream::new(BodyStream::new(body)));
    response.map(|received| SdkBody::from_body_1_x(body(received))).try_into().map_err(other)
}

/// The failure of a request that is not a timeout.
pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ConnectorError {
    ConnectorError::other(error.into(), None)
}
