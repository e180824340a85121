//! One binary for all integration tests: linking the SDKs and the stack once is what takes the time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod architecture;
mod cost;
mod durable_streams;
mod durable_streams_client;
mod durable_streams_live;
mod lifetime;
mod main_job;
mod partial_json;
mod schema_violation;
mod sweeping;
mod template;
mod writers;
