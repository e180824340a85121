//! HTTP servers, which stop together. Those of the stack listen on loopback.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use anyhow::{Context, Result, bail};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use longhand::{
    limits::{HEADER_BYTES_MAX, HEADERS_MAX},
    retry::{Exponential, Retryable, exponential},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long running requests may take when a server stops.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// A connection is closed when no complete request head arrives for this long.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Pauses after a failed accept, for example when the process has run out of file descriptors.
const ACCEPT_PAUSES: Exponential = exponential(Duration::from_millis(100), Duration::from_millis(200), usize::MAX);

/// Any free port on loopback.
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Listens on an address.
///
/// # Errors
/// The address is in use, or not a loopback address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    if !address.ip().is_loopback() {
        bail!(
            "the local stack is for this machine, so it listens only on loopback addresses such as 127.0.0.1, not on {}",
            address.ip()
        );
    }
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Listens on the first of `count` ports that is free, from that of `address` on.
///
/// # Errors
/// The address is not a loopback address, or none of the ports is free.
pub async fn bind_first(address: SocketAddr, count: u16) -> Result<TcpListener> {
    let ports = address.port()..=address.port().saturating_add(count.saturating_sub(1));
    let mut failed = None;
    for port in ports {
        match bind(SocketAddr::new(address.ip(), port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.context("no port was tried")?)
}

/// The `http://` address of a listener.
pub fn url(listener: &TcpListener) -> Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

/// Serves `router` on `listener` as one of `tasks`, until `stop` is cancelled.
pub fn serve(listener: TcpListener, router: Router, stop: &CancellationToken, tasks: &TaskTracker) {
    serve_with_grace(listener, router, STOP_GRACE, stop, tasks);
}

/// The same, where requests may take up to `grace` from then on.
pub fn serve_with_grace(listener: TcpListener, router: Router, grace: Duration, stop: &CancellationToken, tasks: &TaskTracker) {
    let (stop, connections) = (stop.clone(), tasks.clone());
    tasks.spawn(async move {
        while let Some(Ok(stream)) = stop.run_until_cancelled(accept(&listener)).await {
            // Otherwise a small response may wait 40 ms for the client's delayed acknowledgement.
            let _ = stream.set_nodelay(true);
            connections.spawn(serve_connection(stream, router.clone(), grace, stop.clone()));
        }
    });
}

/// The same as [`serve`] on a Unix socket.
pub fn serve_socket(listener: UnixListener, router: Router, stop: &CancellationToken, tasks: &TaskTracker) {
    let (stop, connections) = (stop.clone(), tasks.clone());
    tasks.spawn(async move {
        let accept = async || (|| listener.accept()).retry(ACCEPT_PAUSES).await;
        while let Some(Ok((stream, _))) = stop.run_until_cancelled(accept()).await {
            connections.spawn(serve_connection(stream, router.clone(), STOP_GRACE, stop.clone()));
        }
    });
}

async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let log = |error: &io::Error, _| tracing::warn!(%error, "a local server cannot accept a connection and will retry");
    Ok((|| listener.accept()).retry(ACCEPT_PAUSES).notify(log).await?.0)
}

/// Serves one connection until it closes. Header limits are wider than those of the functions, whose errors are more helpful than
/// the bare status 431 that is sent here.
async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    grace: Duration,
    stop: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http.max_headers(4 * HEADERS_MAX).max_header_size(4 * HEADER_BYTES_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    tokio::select! {
        // A client that disconnects is not an error.
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(grace, connection).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn public_address_is_rejected() {
        let message = bind("0.0.0.0:0".parse().unwrap()).await.unwrap_err().to_string();
        assert!(message.contains("loopback") && message.contains("0.0.0.0"), "{message}");
    }
}
