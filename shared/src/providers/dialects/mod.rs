//! The wire formats of providers, a folder each.

pub mod anthropic;
pub mod bedrock;
pub mod chat_completions;
pub mod gemini;
pub mod ollama;
#[cfg(test)]
mod reading;
pub mod responses;
