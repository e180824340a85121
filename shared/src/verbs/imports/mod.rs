//! Imports: planned and validated, written entity by entity, read, and reverted.
//!
//! An import goes through its states under its revision, and each state has its entry in the audit. Its entities have ids that follow from
//! the answer, so that whoever goes on with it after a crash writes what is missing and nothing twice.

mod plan;
mod read;
mod revert;
mod step;
mod sweep;
mod write;

pub use read::{ImportAttempts, ImportList};
