//! The only room with the AWS SDK in it: one file per service or kind of row.

mod blobs;
mod buffer;
mod clients;
mod creates;
mod invoker;
mod keys;
mod listing;
mod meter;
mod open;
mod queues;
mod records;
mod rows;
mod secrets;
mod size;
mod sweeps;
mod tapped;
mod transactions;
mod usage;

pub use blobs::{BlobWriter, Blobs, Body};
pub use buffer::{Appended, Buffer, ChunkPage, Meta};
pub use clients::Clients;
pub use invoker::Invoker;
pub use keys::{KeyHashRow, KeyRow};
pub use listing::Stored;
pub use meter::{Meter, MeterReading};
pub use queues::{QueueMessage, Queues};
pub use records::{IdempotencyClaim, ListPage, Records};
pub use rows::{MetaRow, Outcome, RecordRow, ValidationIssueRow, chunk_from_item, chunk_to_item};
pub use secrets::{Secrets, Version};
pub use size::{chunk_item_bytes, write_units};
pub use usage::Counted;

/// The indexes of the records table that the code queries, each named after its partition key.
pub const INDEXES: [&str; 2] = ["by_organization", "by_open"];
