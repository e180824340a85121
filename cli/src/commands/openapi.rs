//! `longhand openapi`: the OpenAPI document of the HTTP API.

use std::process::ExitCode;

use clap::Args;

use crate::terminal::output::line;

/// Print the OpenAPI document of the HTTP API, as JSON
#[derive(Args, Clone, Debug)]
pub struct OpenApiArgs {}

pub fn run() -> anyhow::Result<ExitCode> {
    line(format!("{:#}", longhand_local::openapi()?))?;
    Ok(ExitCode::SUCCESS)
}
