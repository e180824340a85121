//! One file per trigger.

pub mod authorize;
pub mod compact;
pub mod stream;
pub mod sweep;
