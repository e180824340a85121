//! Live progress on stderr: on a terminal one line that changes, elsewhere a line every 5 s.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use super::output::shown;

const LINE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Ticker {
    terminal: bool,
    shown: Option<Instant>,
}

impl Ticker {
    pub fn new() -> Self {
        Self { terminal: stderr().is_terminal(), shown: None }
    }

    pub fn show(&mut self, line: &str) {
        if self.terminal {
            eprint!("\r\x1b[2K{}", shown(&stderr(), line));
        } else if self.shown.is_none_or(|shown| shown.elapsed() >= LINE_EVERY) {
            eprintln!("{line}");
        } else {
            return;
        }
        self.shown = Some(Instant::now());
    }

    /// Erases the line on a terminal.
    pub fn clear(&mut self) {
        if self.terminal && self.shown.take().is_some() {
            eprint!("\r\x1b[2K");
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.clear();
    }
}
