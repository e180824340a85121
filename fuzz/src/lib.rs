//! What the fuzzers look for: one function per reader of bytes from outside. Each panics where a promise does not hold.
//!
//! `fuzz_targets/` hands these to libFuzzer; `tests/replay.rs` calls them with the corpus, without it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a panic is how a fuzzer learns what it has found"
)]

mod duplicates;
mod json;
mod log;
mod provider;
mod request;
mod sse;

pub use json::{json_text, partial_json};
pub use log::chunk;
pub use provider::chat_completions;
pub use request::request;
pub use sse::sse;

/// A target.
pub type Target = fn(&[u8]);

/// Every target, under the name that its corpus has.
pub const TARGETS: [(&str, Target); 6] = [
    ("chat_completions", chat_completions),
    ("chunk", chunk),
    ("json_text", json_text),
    ("partial_json", partial_json),
    ("request", request),
    ("sse", sse),
];

/// The first byte, which says how the rest is treated, and the rest.
fn split(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(how, rest)| (*how, rest))
}
