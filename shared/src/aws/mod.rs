//! The only module that uses the AWS SDK: a file for each service, and a folder for each table.

mod archive;
mod backups;
mod blobs;
mod buffer;
mod clients;
mod invoker;
mod mailer;
mod meter;
mod queues;
mod records;
mod secrets;
mod signer;
mod tables;
mod texts;

pub use archive::{Archive, ArchivePlace, ArchiveWriter};
pub use backups::{TableBackup, TableFacts};
pub use blobs::{BlobWriter, Blobs, Body, PresignedPut, Stored};
pub use buffer::{
    Appended, Buffer, ChunkBytes, ChunkItem, ChunkPage, Meta, MetaRow, Packing, chunk_from_item, chunk_item_bytes, chunk_to_item,
    write_units,
};
pub use clients::{Clients, SharedHttpClient};
pub use invoker::Invoker;
pub use mailer::Mailer;
pub use meter::{Meter, MeterReading};
pub use queues::{QueueMessage, Queues, RECEIVE_MAX};
pub use records::{
    AcceptChange, AcceptWritten, Added, AuditPage, BatchPage, BatchRow, Created, CreatedRun, DeliveryPage, DocumentHead,
    DocumentPage, DocumentVersionRow, ENTITIES_AT_ONCE, EntitiesWritten, EntityChange, EntityPage, EntryRow, IMPORTED_AT_ONCE,
    INDEXES, IdempotencyClaim, ImportChange, ImportWritten, ImportedRow, InboxPage, IssueError, ItemRow, KeyHashRow, KeyRow,
    ListPage, MigrationLock, MigrationRow, MigrationStatus, NewItem, OpenImport, OpenJobs, Outcome, PLAIN_REQUEST_BYTES_MAX,
    PinnedPipeline, PlanWritten, PlannedRun, RecordRow, Records, RecordsPage, RunPage, RunRow, Settings, StepRow, StepWritten,
    SubjectDeletion, SubjectPage, VERSIONS_DELETED_AT_ONCE, ValidationIssue, VersionSource,
};
pub use secrets::{Secrets, Version};
pub use signer::Signer;
