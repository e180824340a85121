//! Commands about one generation, or their list.

pub mod accept;
pub mod cancel;
pub mod get;
pub mod list;
pub mod output;
pub mod retry;
pub mod start;
pub mod tail;
pub mod token;
