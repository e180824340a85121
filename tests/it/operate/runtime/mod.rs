//! The real release binary, outside of this process: under Lambda's runtime interface emulator, and deployed.

mod arm64;
pub mod background;
mod cold_start;
mod emulator;
mod fleet;
mod live;
mod ministack;
mod rie;
mod sam_local;
mod small;
mod smoke;
mod tools;

pub use tools::skip;
