//! How a generation ends: its log is compacted, its result validated, its outcome written.

pub(in crate::verbs) mod compact;
pub(in crate::verbs) mod give_up;
pub(in crate::verbs) mod outcome;
pub(in crate::verbs) mod validate;
