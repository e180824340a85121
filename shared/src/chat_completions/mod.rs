//! The OpenAI chat completions API on top of the log: requests, completion objects, chunks. Pure: no I/O, no clock.
//!
//! A chat completion is a generation under another name: `chatcmpl-…` and `gen_…` share their ULID. The API has no way to read a
//! completion again; the generation does.

mod create;
mod render;

pub use create::parse_create;
pub use render::{Chunk, Completion, CompletionHead};

#[cfg(test)]
mod tests;
