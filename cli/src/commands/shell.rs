//! `longhand completions` and `longhand man`: what a shell and a manual need to know of the command.

use std::io;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print completions for a shell
#[derive(Args, Clone, Copy, Debug)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Print the manual page
#[derive(Args, Clone, Copy, Debug)]
pub struct ManArgs;

/// Prints the completions of `C`.
pub fn completions<C: CommandFactory>(args: CompletionsArgs) -> ExitCode {
    clap_complete::generate(args.shell, &mut C::command(), "longhand", &mut io::stdout());
    ExitCode::SUCCESS
}

/// Prints the manual page of `C`, in roff.
pub fn man<C: CommandFactory>() -> anyhow::Result<ExitCode> {
    clap_mangen::Man::new(C::command()).render(&mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}
