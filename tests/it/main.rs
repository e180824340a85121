//! One binary for all integration tests: linking the SDKs and the stack once is what takes the time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod architecture;
mod cost;
mod lifetime;
mod main_job;
mod official_clients;
mod responses;
mod sweeping;
mod template;
mod writers;
