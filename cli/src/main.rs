//! The process of the `longhand` command.

use std::process::ExitCode;

/// With the system's allocator, an eighth of the time went into it (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    longhand_cli::run().await
}
