//! What a playback provider plays, and where it is read from.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

const RECORDING: &str = include_str!("../../recordings/scenario.jsonl");

/// Deltas, and how they are played.
#[derive(Clone, Debug)]
pub struct Script {
    /// The pieces of text, in order. An empty one is sent as an empty delta.
    pub deltas: Vec<String>,
    /// Each delta is the moment at which it is sent instead, in microseconds since the epoch, and a space: for measuring.
    pub stamped: bool,
    /// Deltas per second; 0 plays as fast as the client reads.
    pub tempo: f64,
    /// How long the provider is silent, headers included.
    pub first_byte_delay: Duration,
    /// The tokens reported; where absent, counted from the request and the deltas.
    pub usage: Option<Usage>,
    /// The model that `GET /v1/models` names, and that a request without one gets.
    pub model: String,
    /// The finish reason.
    pub finish_reason: String,
    /// What comes after the last delta.
    pub ending: Ending,
}

/// Tokens of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// What comes after the last delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ending {
    /// The finish reason, the usage if it was asked for, and `[DONE]`.
    #[default]
    Finish,
    /// The body ends cleanly, with no finish mark.
    Cut,
    /// Nothing, on an open connection.
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
    /// Plays these deltas as fast as they are read.
    pub fn new<Delta: Into<String>>(deltas: impl IntoIterator<Item = Delta>) -> Self {
        Self { deltas: deltas.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The recording that comes with this crate: a strategic scenario as JSON, in about 3,000 deltas.
    ///
    /// # Errors
    /// The recording is damaged.
    pub fn recorded() -> anyhow::Result<Self> {
        Self::parse_jsonl(RECORDING, "the built-in recording")
    }

    /// Reads a file of JSON lines, each one a string: the text of a delta. Lines of white space are skipped.
    ///
    /// # Errors
    /// The file cannot be read, has no deltas, or one of its lines, which is then named, is not a JSON string.
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
