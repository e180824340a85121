//! The wire formats of providers, a folder each.

pub mod chat_completions;
