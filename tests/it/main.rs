//! One binary for all integration tests: linking the SDKs and the stack once is what takes the time.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod architecture;
mod bad_input;
mod cancelling;
mod completion;
mod cors;
mod cost;
mod crash_points;
mod documents;
mod durable_streams;
mod durable_streams_client;
mod durable_streams_live;
mod iam;
mod isolation;
mod keys;
mod kills;
mod lifetime;
mod limits;
mod live;
mod main_job;
mod observability;
mod official_clients;
mod openapi;
mod openapi_fuzz;
mod partial_json;
mod providers;
mod quota;
mod recordings;
mod responses;
mod retention;
mod runtime;
mod schema_violation;
mod sickness;
mod sweeping;
mod takeover;
mod template;
mod tokens;
mod triggers;
mod writers;
