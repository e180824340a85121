//! HTTP servers of the stack: loopback only, stopped together.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use axum::{Router, serve::ListenerExt};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Requests still running when a server stops get this long.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

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
    let stop = stop.clone();
    // Without this a small answer may wait 40 ms for the client's delayed acknowledgement.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tasks.spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let impatient = async {
            stop.cancelled().await;
            tokio::time::sleep(STOP_PATIENCE).await;
        };
        tokio::select! {
            served = serving => if let Err(error) = served { tracing::error!(%error, "a local server stopped") },
            () = impatient => {}
        }
    });
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
