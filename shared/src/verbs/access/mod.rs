//! The verbs of API keys and read tokens.

pub(in crate::verbs) mod authorize;
pub(in crate::verbs) mod keys;
pub(in crate::verbs) mod tokens;
