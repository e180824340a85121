//! The real release binary, outside of this process: under Lambda's runtime interface emulator, and deployed.

pub mod background;
mod cold_start;
mod emulator;
mod ministack;
mod rie;
mod sam_local;
mod tools;

pub use tools::skip;
