//! One file per command: its arguments, and what it does.

pub mod bench;
pub mod cancel;
pub mod compact;
pub mod cost;
pub mod demo;
pub mod dev;
pub mod get;
pub mod inspect;
pub mod keys;
pub mod list;
pub mod openapi;
pub mod purge;
pub mod quota;
pub mod redrive;
pub mod retention;
pub mod start;
pub mod tail;
