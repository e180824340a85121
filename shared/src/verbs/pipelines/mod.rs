//! Pipelines: published in numbered versions, read, listed, and checked before they are.

pub mod publish;
pub mod read;
