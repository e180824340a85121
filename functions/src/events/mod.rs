//! One file per trigger.

pub mod compact;
pub mod stream;
pub mod sweep;
