//! The fuzz targets: one function per parser of external bytes. Each panics if a property does not hold.
//!
//! `fuzz_targets/` passes these to libFuzzer; `tests/replay.rs` calls them with the corpus.
#![expect(clippy::expect_used, clippy::panic, clippy::missing_panics_doc, reason = "a fuzz target reports a finding by a panic")]

mod duplicates;
mod json;
mod log;
mod pipeline;
mod provider;
mod request;
mod sse;

pub use json::{json_text, partial_json};
pub use log::chunk;
pub use pipeline::pipeline;
pub use provider::{anthropic, bedrock, chat_completions, gemini, ollama, responses};
pub use request::request;
pub use sse::sse;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with the name of its corpus.
pub const TARGETS: [(&str, Target); 12] = [
    ("anthropic", anthropic),
    ("bedrock", bedrock),
    ("chat_completions", chat_completions),
    ("chunk", chunk),
    ("gemini", gemini),
    ("json_text", json_text),
    ("ollama", ollama),
    ("partial_json", partial_json),
    ("pipeline", pipeline),
    ("request", request),
    ("responses", responses),
    ("sse", sse),
];

/// Splits off the first byte, which selects how the target uses the rest.
fn split(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(how, rest)| (*how, rest))
}
