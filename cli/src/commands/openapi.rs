//! `longhand openapi`: the HTTP API's own description.

use std::process::ExitCode;

use clap::Args;

use crate::terminal::output::line;

/// Print the HTTP API's description for programs, as JSON in one piece
#[derive(Args, Clone, Debug)]
pub struct OpenApiArgs {}

pub fn run() -> anyhow::Result<ExitCode> {
    line(format!("{:#}", longhand_local::openapi()?))?;
    Ok(ExitCode::SUCCESS)
}
