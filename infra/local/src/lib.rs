//! The embedded stack: every function of the template in one process, over a local DynamoDB and S3.

pub mod playback;
mod stack;

pub use stack::{Data, Endpoints, Options, Stack};
