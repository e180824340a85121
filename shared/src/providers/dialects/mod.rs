//! One folder per provider's wire format.

pub mod chat_completions;
