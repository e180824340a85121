//! One binary for all integration tests: linking the SDKs and the stack once is what takes the time.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod access;
mod batches;
mod documents;
mod durability;
mod edge;
mod fleet;
mod migrations;
mod operate;
mod pipelines;
mod providers;
mod review;
mod runs;
mod statistics;
mod subjects;
mod template;
mod webhooks;
