//! The verbs of statistics.

mod meter;
mod usage;

pub use meter::{Metered, StreamRecord};
