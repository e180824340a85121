//! Who may do what.

pub mod iam;
pub mod isolation;
pub mod keys;
mod run_tokens;
pub mod tokens;
