//! The script of a playback provider, and its file format.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

const RECORDING: &str = include_str!("../../recordings/scenario.jsonl");

/// Deltas and their timing.
#[derive(Clone, Debug)]
pub struct Script {
    /// The pieces of text, in order. An empty piece is sent as an empty delta.
    pub deltas: Vec<String>,
    /// For measurements: the time at which each delta is sent stands in place of its first four bytes, which must be ASCII ([`times`](super::times)
    /// reads it).
    pub stamped: bool,
    /// Deltas per second; 0 sends as fast as the client reads.
    pub tempo: f64,
    /// The delay before the response headers.
    pub first_byte_delay: Duration,
    /// The tokens to report; if absent, they are counted from the request and the deltas.
    pub usage: Option<Usage>,
    /// The model in `GET /v1/models`, and the default model of requests.
    pub model: String,
    /// The finish reason.
    pub finish_reason: String,
    /// How the response ends.
    pub ending: Ending,
}

/// The tokens of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The tokens of the request.
    pub prompt_tokens: u64,
    /// The tokens of the response.
    pub completion_tokens: u64,
}

/// How a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ending {
    /// With the finish reason, the usage if requested, and `[DONE]`.
    #[default]
    Finish,
    /// The body ends cleanly, without a finish reason.
    Cut,
    /// The connection stays open and sends nothing.
    Stall,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            deltas: Vec::new(),
            stamped: false,
            tempo: 0.0,
            first_byte_delay: Duration::ZERO,
            usage: None,
            model: "recording".into(),
            finish_reason: "stop".into(),
            ending: Ending::default(),
        }
    }
}

impl Script {
    /// A script that sends these deltas as fast as they are read.
    pub fn new<Delta: Into<String>>(deltas: impl IntoIterator<Item = Delta>) -> Self {
        Self { deltas: deltas.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The built-in recording: a strategic scenario as JSON, in about 3,000 deltas.
    ///
    /// # Errors
    /// The recording is invalid.
    pub fn recorded() -> anyhow::Result<Self> {
        Self::parse_jsonl(RECORDING, "the built-in recording")
    }

    /// Reads a file of JSON lines. Each line is a string, the text of a delta; blank lines are skipped.
    ///
    /// # Errors
    /// The file cannot be read, has no deltas, or has a line that is not a JSON string. The error names the line.
    pub fn from_jsonl(path: impl AsRef<Path>) -> anyhow::Result<Self> {
        let name = path.as_ref().display().to_string();
        let bytes = std::fs::read(path.as_ref()).with_context(|| format!("cannot read the deltas of {name}"))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = 1 + error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|&&byte| byte == b'\n').count();
            anyhow::anyhow!("{name}, line {line}: expected UTF-8 text")
        })?;
        Self::parse_jsonl(&text, &name)
    }

    fn parse_jsonl(text: &str, name: &str) -> anyhow::Result<Self> {
        let mut deltas = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let delta: String = serde_json::from_str(line).map_err(|error| {
                anyhow::anyhow!("{name}, line {}: expected one JSON string, such as \"Hola\" ({error})", number + 1)
            })?;
            deltas.push(delta);
        }
        anyhow::ensure!(!deltas.is_empty(), "{name}: expected at least one line with a JSON string, found none");
        Ok(Self::new(deltas))
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        self.deltas.concat()
    }
}
