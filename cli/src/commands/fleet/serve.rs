//! `longhand serve --aws`: the API in one process, until SIGTERM.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use longhand::Clock;
use tokio::net::TcpListener;

use super::{app, config, stopping_by_signal};
use crate::{environment, failure};

/// Serve the API of a deployment from this process, in place of API Gateway and the functions `start`, `tail`, `api` and `authorize`
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Serve the deployment that this process's environment names (`LONGHAND_BUFFER_TABLE`, …)
    #[arg(long, required = true)]
    aws: bool,
    /// The address to listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    bind: IpAddr,
    /// The port; 0 takes a free one
    #[arg(long, env = environment::PORT, hide_env_values = true, default_value_t = 8080)]
    port: u16,
}

pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = config()?;
    if config.stream_queue.is_none() && config.stream_function.is_none() {
        return Err(failure::usage(
            "LONGHAND_STREAM_QUEUE is required, the queue of `longhand work`, or LONGHAND_STREAM_FUNCTION: nobody would write what is started",
        ));
    }
    let stopping = stopping_by_signal()?;
    let address = SocketAddr::new(args.bind, args.port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let app = app(config, &stopping).await;
    tracing::info!(address = %listener.local_addr()?, "The API listens.");
    Box::pin(longhand_local::fleet::serve(&app, Clock::system(), listener, &stopping)).await?;
    tracing::info!("The API has ended.");
    Ok(ExitCode::SUCCESS)
}
