//! The verbs of the Responses API. A response is a generation seen through [`crate::responses`].
//!
//! Its state follows from the log alone: every later read agrees with what a stream has shown as the end, whether the log has
//! been compacted or not.

mod context;
mod create;
pub(in crate::verbs) mod read;
mod remove;
