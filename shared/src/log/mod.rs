//! A generation's log: events in chunks, and the pure rules of writing and reading them.

pub mod assembly;
pub mod chunk;
pub mod composer;
pub mod event;
pub mod flush;
pub mod pace;
pub mod reason;
pub(crate) mod recent;
pub(crate) mod waiting;
