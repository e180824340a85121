//! What operators do and see.

pub mod observability;
pub mod quota;
pub mod recordings;
pub mod retention;
pub mod runtime;
pub mod sweeping;
pub mod throttling;
