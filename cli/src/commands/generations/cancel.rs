//! `longhand cancel`: ends a generation. Once this has answered, no further text appears.

use std::process::ExitCode;

use clap::Args;

use super::get;
use crate::options::{Format, Target};
use crate::place;

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
    let cancelled = place::api(&args.target).await?.cancel(&args.id).await?;
    get::print(&cancelled, args.format)?;
    Ok(ExitCode::SUCCESS)
}
