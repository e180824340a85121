//! Commands for operators.

pub mod backfill;
pub mod compact;
pub mod inspect;
pub mod keys;
pub mod migrate;
pub mod migrations;
pub mod populate;
pub mod purge;
pub mod quota;
pub mod redrive;
pub mod retention;
