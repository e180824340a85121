//! Entities: read and listed, decided by reviewers, and edited until they are.

mod decide;
mod edit;
mod read;

pub use decide::{Decided, DecidedItem};
pub use read::{EntityList, EntityQuery};
