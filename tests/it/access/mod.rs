//! Who may do what.

pub mod iam;
pub mod isolation;
pub mod keys;
pub mod tokens;
