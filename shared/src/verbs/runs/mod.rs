//! Runs of pipelines: each verb in a file of its own.

pub(in crate::verbs) mod advance;
pub mod change;
pub mod follow;
pub mod redrive;
pub mod report;
pub mod retention;
pub mod start;
pub(in crate::verbs) mod sweep;
pub mod tail;
pub mod view;
