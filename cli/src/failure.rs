//! How a command that could not be done says so, and with which exit code.

use std::fmt::{self, Write as _};
use std::io;
use std::process::ExitCode;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const INTERRUPTED: u8 = 130;

/// Arguments that do not fit together, or not the place where they were given.
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

/// Tells the error on stderr. A reader of stdout that went away (`| head`) is no error.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let closed = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(closed)) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", told(error));
    ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
}

/// The error and its causes in one line, leaving out a cause that the line already tells.
pub fn told(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            let _ = write!(line, ": {cause}");
        }
    }
    line
}

/// The work was done, but its outcome is not the one hoped for.
pub fn failed() -> ExitCode {
    ExitCode::from(FAILED)
}

/// The person pressed Ctrl-C.
pub fn interrupted() -> ExitCode {
    ExitCode::from(INTERRUPTED)
}
