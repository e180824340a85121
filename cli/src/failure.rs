//! How a command reports a failure, and its exit code.

use std::fmt::{self, Write as _};
use std::io;
use std::process::ExitCode;

use longhand_client::StatusCode;

use crate::environment::API_KEY;
use crate::terminal::output::shown;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// A generation ended, and not as completed.
const NOT_COMPLETED: u8 = 3;
const INTERRUPTED: u8 = 130;

/// Arguments that contradict each other, or the stack that they are given for.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error for wrong arguments.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(message.into()))
}

/// Prints the error on stderr. A closed stdout (`| head`) is no error.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let closed = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(closed)) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", describe(error));
    let client = error.chain().find_map(|cause| cause.downcast_ref::<longhand_client::Error>());
    if client.is_some_and(|error| error.status() == Some(StatusCode::UNAUTHORIZED)) {
        eprintln!("  with --url, the key is taken from {API_KEY}; `longhand keys create` makes one");
    }
    ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
}

/// The error and its causes in one line for stderr, without a cause that the line already contains.
pub fn describe(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            let _ = write!(line, ": {cause}");
        }
    }
    shown(&io::stderr(), &line).into_owned()
}

/// The exit code of a command that ran, with an outcome that is a failure.
pub fn failed() -> ExitCode {
    ExitCode::from(FAILED)
}

/// The exit code of a command that followed a generation to an end other than `completed`.
pub fn not_completed() -> ExitCode {
    ExitCode::from(NOT_COMPLETED)
}

/// The exit code after Ctrl-C.
pub fn interrupted() -> ExitCode {
    ExitCode::from(INTERRUPTED)
}
