//! What survives: writers, readers, compaction, faults.

pub mod cancelling;
pub mod completion;
pub mod crash_points;
pub mod kills;
pub mod lifetime;
pub mod live;
pub mod main_job;
pub mod sickness;
pub mod takeover;
pub mod triggers;
pub mod write_units;
pub mod writers;
