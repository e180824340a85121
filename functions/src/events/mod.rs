//! The functions that handle events: one file each.

pub mod authorize;
mod batch;
pub mod compact;
pub mod deliver;
pub mod meter;
pub mod settle;
pub mod stream;
pub mod sweep;
