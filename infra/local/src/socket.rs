//! The embedded services on a Unix socket in the data folder, for the commands of this user. The file system admits no one else.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use axum::http::Uri;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};

use crate::services::{other, received, sent};

/// Listens at `path`, in place of a socket that a killed stack left.
///
/// # Errors
/// The socket cannot be made.
pub fn bind(path: &Path) -> Result<UnixListener> {
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))
}

/// A client of the SDK that sends every request to the stack whose socket is at `path`.
#[must_use]
pub fn socket_client(path: &Path) -> SharedHttpClient {
    SharedHttpClient::new(Socket { path: path.to_owned() })
}

#[derive(Clone, Debug)]
struct Socket {
    path: PathBuf,
}

impl HttpClient for Socket {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Socket {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let path = self.path.clone();
        HttpConnectorFuture::new(async move { send(&path, request).await })
    }
}

/// Sends one request on a connection of its own: a command sends few.
async fn send(path: &Path, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let failed = |error: std::io::Error| ConnectorError::io(error.into());
    let stream = UnixStream::connect(path).await.map_err(failed)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(other)?;
    tokio::spawn(connection);
    let mut request = sent(request)?;
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = Uri::from(path);
    }
    received(sender.send_request(request).await.map_err(other)?)
}
