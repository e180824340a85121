//! `longhand output`: prints a generation's text.

use std::process::ExitCode;

use clap::Args;

use crate::options::{Format, Target};
use crate::running_stack;
use crate::terminal::output::{json_line, text};

/// Print a generation's text, whole or so far
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// The generation's id
    id: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: OutputArgs) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect(&args.target).await?;
    if args.format.json {
        json_line(&client.output(&args.id).await?.text)?;
    } else {
        text(&client.text(&args.id).await?)?;
    }
    Ok(ExitCode::SUCCESS)
}
