//! `longhand retry`: a new generation with the request of one that has ended.

use std::process::ExitCode;

use clap::Args;

use super::start;
use crate::options::{Format, Target};
use crate::running_stack;

/// Start a generation with the request of one that has ended
#[derive(Args, Clone, Debug)]
pub struct RetryArgs {
    /// The ended generation's id
    id: String,
    /// A retry that is repeated with the same key returns the same generation
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: RetryArgs) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect(&args.target).await?;
    let started = client.retry(&args.id, args.idempotency_key.as_deref()).await?;
    start::print(&started, args.format, &args.target)?;
    Ok(ExitCode::SUCCESS)
}
