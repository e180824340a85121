//! The verbs of operators, and of the sweep.

pub(in crate::verbs) mod inspect;
pub(in crate::verbs) mod populate;
pub(in crate::verbs) mod purge;
pub(in crate::verbs) mod redrive;
pub(in crate::verbs) mod retention;
pub(in crate::verbs) mod sweep;
