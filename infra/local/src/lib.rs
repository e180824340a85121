//! Longhand on one machine: every function's own handler in this process, over an embedded DynamoDB and S3.
//!
//! The wiring (routes, stream triggers, schedules, async invokes) is read from `template.yaml`, so what runs here is
//! what `sam deploy` deploys. `infra/README.md` has the table of AWS resources and their twins.

mod dynamodb;
mod environment;
mod folder;
mod gateway;
mod key;
mod lambda;
mod openapi;
mod options;
pub mod playback;
mod s3;
mod schedule;
mod server;
mod stack;
mod template;
#[cfg(test)]
mod testing;
mod triggers;

pub use environment::Endpoints;
pub use openapi::openapi;
pub use options::{Data, Options, PartsOf};
pub use playback::{Playback, Script};
pub use stack::{OwnKey, Registry, Stack};
pub use template::{TEMPLATE, Template};
