//! The `longhand` command: wiring only.

mod api;
mod arguments;
mod commands;
mod environment;
mod failure;
mod follow;
mod logging;
mod operator;
mod output;
mod patience;
mod place;
mod product;
mod provider;
mod ticker;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    logging::start(&arguments);
    match Box::pin(arguments.command.run()).await {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}
