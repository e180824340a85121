//! The process of the `longhand` command.

use std::process::ExitCode;

/// An eighth of the time with the system's allocator went into it (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    longhand_cli::run().await
}
