//! The verbs of one generation.

mod admit;
pub(in crate::verbs) mod attach;
pub(in crate::verbs) mod cancel;
pub(in crate::verbs) mod claim;
pub(in crate::verbs) mod delete;
pub(in crate::verbs) mod ending;
pub(in crate::verbs) mod events;
pub(in crate::verbs) mod get;
pub(in crate::verbs) mod issues;
pub(in crate::verbs) mod list;
pub(in crate::verbs) mod log_page;
pub(in crate::verbs) mod output;
pub(in crate::verbs) mod progress;
mod request;
mod result;
mod retry;
pub(in crate::verbs) mod start;
pub(in crate::verbs) mod tail;
mod view;
