//! One binary for all integration tests: linking the SDKs and the stack once is what takes the time.

mod main_job;
mod runtime;
