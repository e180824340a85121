//! Output on the terminal.

pub mod follow;
pub mod output;
pub mod ticker;
