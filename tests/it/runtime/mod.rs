//! The real release binaries, outside of this process: under Lambda's runtime interface emulator, and deployed.

mod background;
mod emulator;
mod ministack;
mod rie;
mod tools;
