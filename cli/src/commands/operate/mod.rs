//! Commands for operators.

pub mod compact;
pub mod inspect;
pub mod keys;
pub mod populate;
pub mod purge;
pub mod quota;
pub mod redrive;
pub mod retention;
