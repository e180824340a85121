//! One binary for all integration tests: linking the SDKs and the stack once is what takes the time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod architecture;
mod cost;
mod lifetime;
mod main_job;
mod runtime;
mod sweeping;
mod template;
mod writers;
