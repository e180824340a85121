//! HTTP servers of the stack: loopback only, stopped together.

use std::{net::SocketAddr, pin::pin, time::Duration};

use anyhow::{Context, Result, bail};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use longhand::limits::{HEADER_BYTES_MAX, HEADERS_MAX};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Requests still running when a server stops get this long.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// A connection is closed on which the head of a request has not come for this long, the first one's or the next one's.
const HEAD_PATIENCE: Duration = Duration::from_mins(1);
/// After a connection could not be taken: the process may have no more file descriptors for a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A free port on loopback.
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Takes an address.
///
/// # Errors
/// It is taken already, or can be reached from other machines.
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    if !address.ip().is_loopback() {
        bail!(
            "the local stack has no authentication and listens on loopback addresses only, such as 127.0.0.1, not on {}",
            address.ip()
        );
    }
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// The `http://` address of a listener.
pub fn url(listener: &TcpListener) -> Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

/// Answers on `listener` as one of `tasks`, until told to stop.
pub fn serve(listener: TcpListener, router: Router, stop: &CancellationToken, tasks: &TaskTracker) {
    let (stop, connections) = (stop.clone(), tasks.clone());
    tasks.spawn(async move {
        while let Some(stream) = stop.run_until_cancelled(accept(&listener)).await {
            // Without this a small answer may wait 40 ms for the client's delayed acknowledgement.
            let _ = stream.set_nodelay(true);
            connections.spawn(converse(stream, router.clone(), stop.clone()));
        }
    });
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "a local server cannot take a connection and tries again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, to its end. Its bounds are wider than those of the functions, which say more than a bare status; beyond
/// them it is 431, and a head that does not come is waited for no longer.
async fn converse(stream: TcpStream, router: Router, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
    http.max_headers(4 * HEADERS_MAX).max_header_size(4 * HEADER_BYTES_MAX);
    let mut conversation = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    tokio::select! {
        // A client that went away is no error of the stack's.
        _ = conversation.as_mut() => {}
        () = stop.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            let _ = timeout(STOP_PATIENCE, conversation).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_others_can_reach_is_refused() {
        let message = bind("0.0.0.0:0".parse().unwrap()).await.unwrap_err().to_string();
        assert!(message.contains("loopback") && message.contains("0.0.0.0"), "{message}");
    }
}
