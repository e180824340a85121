//! One file per command: its arguments, and what it does.

pub mod audit;
pub mod batches;
pub mod bench;
pub mod console;
pub mod cost;
pub mod demo;
pub mod dev;
pub mod entities;
pub mod fleet;
pub mod generations;
pub mod importers;
pub mod notifications;
pub mod openapi;
pub mod operate;
pub mod pipelines;
pub mod runs;
pub mod shell;
pub mod subjects;
pub mod usage;
pub mod validate;
pub mod webhooks;
