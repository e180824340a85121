//! The process of the `longhand` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    longhand_cli::run().await
}
