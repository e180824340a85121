//! The functions that handle events: one file each.

pub mod authorize;
pub mod compact;
pub mod stream;
pub mod sweep;
