//! The real command, as a person runs it. Cargo tells a binary's path only to the tests of its own package, so these are
//! here and not with the other integration tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arguments;
mod batches;
mod bedrock;
mod browser;
mod client;
mod console;
mod cost;
mod demo;
mod dev;
mod documents;
mod doors;
mod fleet;
mod journey;
mod keys;
mod kill;
mod machine;
mod memory;
mod migrations;
mod otlp;
mod pipelines;
mod redrive;
mod retention;
mod review;
mod runs;
mod subjects;
mod survive;
mod tail;
mod usage;
mod webhooks;
