//! `longhand cancel`: ends a generation. After this command has returned, no further text appears.

use std::process::ExitCode;

use clap::Args;

use super::get;
use crate::options::{Format, Target};
use crate::running_stack;

/// Cancel a generation; what was received is kept
#[derive(Args, Clone, Debug)]
pub struct CancelArgs {
    /// The generation's id
    id: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: CancelArgs) -> anyhow::Result<ExitCode> {
    let cancelled = running_stack::connect(&args.target).await?.cancel(&args.id).await?;
    get::print(&cancelled, args.format)?;
    Ok(ExitCode::SUCCESS)
}
