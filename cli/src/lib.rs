//! The `longhand` command. A library only so that tests can ask its parser about the commands that the documents show.

mod api;
mod arguments;
mod commands;
mod environment;
mod failure;
mod logging;
mod operator;
mod options;
mod otlp;
mod patience;
mod place;
mod product;
mod provider;
mod terminal;

use std::process::ExitCode;

pub use environment::variables;

use clap::Parser as _;

/// Does what the process's arguments say.
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

/// Whether these words, without the name of the command, are a command line; nothing is done.
///
/// # Errors
/// What is wrong with them.
pub fn check(words: &[String]) -> Result<(), clap::Error> {
    let words = std::iter::once("longhand".to_owned()).chain(words.iter().cloned());
    arguments::Arguments::try_parse_from(words).map(|_| ())
}
