//! The only room with the AWS SDK in it: one file per service or kind of row.

mod archive;
mod blobs;
mod buffer;
mod clients;
mod invoker;
mod meter;
mod queues;
mod records;
mod secrets;

pub use archive::Archive;
pub use blobs::{BlobWriter, Blobs, Body};
pub use buffer::{Appended, Buffer, ChunkPage, Meta, MetaRow, chunk_from_item, chunk_item_bytes, chunk_to_item, write_units};
pub use clients::{Clients, SharedHttpClient};
pub use invoker::Invoker;
pub use meter::{Meter, MeterReading};
pub use queues::{QueueMessage, Queues};
pub use records::{
    Counted, IdempotencyClaim, KeyHashRow, KeyRow, ListPage, Outcome, RecordRow, Records, Stored, ValidationIssueRow,
};
pub use secrets::{Secrets, Version};

/// The indexes of the records table that the code queries, each named after its partition key.
pub const INDEXES: [&str; 2] = ["by_organization", "by_open"];
