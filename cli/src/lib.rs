//! The `longhand` command. It is a library so that tests can call its parsers.

mod api;
mod arguments;
mod commands;
mod environment;
mod failure;
mod logging;
mod operator;
mod options;
mod otlp;
mod provider;
mod retry;
mod running_stack;
mod terminal;

use std::process::ExitCode;

pub use environment::variables;

use clap::Parser as _;

pub use commands::cost::Deployed;

/// Runs the command that the process's arguments name.
pub async fn run() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    let export = match logging::start(&arguments) {
        Ok(export) => export,
        Err(error) => return failure::report(&error),
    };
    let code = match Box::pin(arguments.command.run()).await {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    };
    if let Some(export) = export {
        export.finish().await;
    }
    code
}

/// Parses a command line, given without the name of the command, and runs nothing.
///
/// # Errors
/// The words are not a command line.
pub fn check(words: &[String]) -> Result<(), clap::Error> {
    let words = std::iter::once("longhand".to_owned()).chain(words.iter().cloned());
    arguments::Arguments::try_parse_from(words).map(|_| ())
}
