//! Durability: writers, readers, compaction, and faults.

pub mod aws_faults;
pub mod cancelling;
pub mod completion;
pub mod crash_points;
pub mod function_kills;
pub mod main_job;
pub mod riding;
pub mod tail;
pub mod takeover;
pub mod triggers;
pub mod ttl;
pub mod write_units;
pub mod writers;
