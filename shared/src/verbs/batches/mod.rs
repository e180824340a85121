//! The verbs of batches.

pub(in crate::verbs) mod advance;
mod change;
pub(in crate::verbs) mod follow;
pub(in crate::verbs) mod results;
pub(in crate::verbs) mod retention;
mod start;
pub(in crate::verbs) mod sweep;
pub(in crate::verbs) mod tail;
pub(in crate::verbs) mod view;
