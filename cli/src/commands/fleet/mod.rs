//! Commands of a fleet: processes that do on machines of their own what functions do on Lambda.

pub mod serve;
pub mod work;

use anyhow::Context as _;
use longhand::app::Parts;
use longhand::{App, Clock, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::environment;

/// The settings that this process's environment has.
fn config() -> anyhow::Result<Config> {
    Config::from_vars(&environment::variable).context("the environment does not name a deployment")
}

/// The product, whose writers hand over when `stopping` is cancelled.
async fn app(config: Config, stopping: &CancellationToken) -> App {
    let parts = Parts { stopping: stopping.clone(), ..Parts::default() };
    Box::pin(App::from_parts(config, Clock::system(), parts)).await
}

/// A token that SIGTERM and Ctrl-C cancel.
fn stopping_by_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let stopping = CancellationToken::new();
    let cancelled = stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("The process ends: running work is handed over.");
        cancelled.cancel();
    });
    Ok(stopping)
}
