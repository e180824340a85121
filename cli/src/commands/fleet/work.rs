//! `longhand work --aws --queue URL`: writes generations, many at once, until SIGTERM.

use std::process::ExitCode;

use clap::Args;
use longhand::Worker;
use longhand::aws::Queues;
use longhand::fleet::{AT_ONCE, AT_ONCE_MAX};

use super::{app, config, stopping_by_signal};
use crate::environment;

/// Write the generations of a deployment from this process, in place of the function `stream`; their jobs come from a queue of SQS
#[derive(Args, Clone, Debug)]
pub struct WorkArgs {
    /// Work for the deployment that this process's environment names (`LONGHAND_BUFFER_TABLE`, …)
    #[arg(long, required = true)]
    aws: bool,
    /// The queue of jobs, to which generations that are handed over return
    #[arg(long, value_name = "URL", env = environment::STREAM_QUEUE, hide_env_values = true)]
    queue: String,
    /// Jobs at once, each of which is one generation, or up to eight of a batch
    #[arg(long, value_name = "NUMBER", default_value_t = AT_ONCE, value_parser = clap::value_parser!(u16).range(1..=i64::from(AT_ONCE_MAX)))]
    at_once: u16,
}

pub async fn run(args: WorkArgs) -> anyhow::Result<ExitCode> {
    let mut config = config()?;
    config.stream_queue = Some(args.queue.clone());
    let stopping = stopping_by_signal()?;
    let queues = Box::pin(Queues::new(&config.aws, None)).await;
    let app = app(config, &stopping).await;
    tracing::info!(at_once = args.at_once, "The worker takes jobs.");
    let worked = Box::pin(Worker::new(queues, args.queue, args.at_once).work(&app)).await;
    tracing::info!(done = worked.done, returned = worked.returned, "The worker has ended.");
    Ok(ExitCode::SUCCESS)
}
