//! What a dialect sends.

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// Options of OpenAI's API that other dialects refuse, and which its clients send all the same.
const FOREIGN_OPTIONS: [&str; 8] = [
    "frequency_penalty",
    "logit_bias",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "safety_identifier",
    "user",
];

/// The caller's options, for a dialect that is not OpenAI's.
pub(super) fn without_foreign_options(options: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    options.iter().filter(|(name, _)| !FOREIGN_OPTIONS.contains(&name.as_str()))
}

/// A request in a dialect.
pub(super) struct Outgoing {
    /// The path behind the base URL.
    pub path: String,
    /// Header fields of the dialect.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Value,
}
