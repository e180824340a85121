//! Longhand on one machine: the handlers of all functions in one process, over an embedded DynamoDB and S3.
//!
//! Routes, stream triggers, schedules and async invocations are read from `template.yaml`, the file that `sam deploy` deploys.
//! `infra/README.md` lists AWS's resources and their local counterparts.

mod access;
mod dynamodb;
mod environment;
pub mod fleet;
mod folder;
mod gateway;
mod key;
mod lambda;
mod mail;
mod openapi;
mod options;
pub mod playback;
mod s3;
mod schedule;
mod server;
mod services;
mod socket;
mod stack;
mod template;
#[cfg(test)]
mod testing;
mod triggers;

pub use dynamodb::Counts;
pub use environment::Endpoints;
pub use folder::is_running;
pub use openapi::openapi;
pub use options::{Data, Durability, Options, PartsOf};
pub use playback::{Agents, Playback, Script};
pub use services::Services;
pub use socket::socket_client;
pub use stack::{OwnKey, Registry, Stack};
pub use template::{TEMPLATE, Template};
