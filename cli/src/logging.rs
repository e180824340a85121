//! Log lines, on stderr: stdout belongs to the answer.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command};
use crate::environment;

/// Starts logging. A stack that runs for a while tells what it does; other commands only what goes wrong.
pub fn start(arguments: &Arguments) {
    let serves = matches!(arguments.command, Command::Dev(_));
    let filter = match arguments.verbose + u8::from(serves) {
        0 => "error",
        1 => "warn,longhand=info,longhand_functions=info,longhand_local=info",
        2 => "info,longhand=debug,longhand_functions=debug,longhand_local=debug",
        _ => "debug",
    };
    let colors = stderr().is_terminal() && !environment::no_color();
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(stderr).with_ansi(colors);
    lines.with_target(false).compact().init();
}
