//! `longhand backfill`: gives rows of earlier versions what rows of this version have.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use longhand::AcceptedPrompts;

use super::migrations::{self, MigrationArgs};

/// Give rows of earlier versions what rows of this version have
#[derive(Args, Clone, Debug)]
pub struct BackfillArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Subjects that stand on a generation: the prompt of that generation. Nothing is written without --apply
    AcceptedPrompt(MigrationArgs),
}

pub async fn run(args: BackfillArgs) -> anyhow::Result<ExitCode> {
    let What::AcceptedPrompt(migration) = args.what;
    Box::pin(migrations::run(&AcceptedPrompts, &migration, Vec::new())).await
}
