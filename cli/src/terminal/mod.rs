//! What the command prints.

pub mod follow;
pub mod output;
pub mod ticker;
