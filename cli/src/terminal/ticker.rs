//! Live progress on stderr: one line that changes on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Ticker {
    terminal: bool,
    told: Option<Instant>,
}

impl Ticker {
    pub fn new() -> Self {
        Self { terminal: stderr().is_terminal(), told: None }
    }

    pub fn show(&mut self, line: &str) {
        if self.terminal {
            eprint!("\r\x1b[2K{line}");
        } else if self.told.is_none_or(|told| told.elapsed() >= LINE_EVERY) {
            eprintln!("{line}");
        } else {
            return;
        }
        self.told = Some(Instant::now());
    }

    /// Takes the changing line away.
    pub fn clear(&mut self) {
        if self.terminal && self.told.take().is_some() {
            eprint!("\r\x1b[2K");
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.clear();
    }
}
