//! Longhand: durable LLM generations. This crate is the product, free of Lambda and of HTTP servers.
//!
//! | word | meaning |
//! |---|---|
//! | organization | the tenant; from the caller's credential only |
//! | generation | one request to a model, from prompt to result |
//! | record | the generation's lasting row: status, metadata, where the result is |
//! | event | one numbered entry of a generation's log |
//! | chunk | one stored item holding consecutive events, written in one flush |
//! | log | all chunks of a generation, in order; its last event is terminal |
//! | meta | the log's companion item: attempt, lease, watching readers |
//! | buffer | log and meta: the short-lived part |
//! | blob | the compacted result in S3, and beside it the event log |
//! | attempt | one run of the writer; a crash or an interruption begins the next |
//! | batch | many generations that are started, followed and reported as one |
//! | item | one of a batch's generations, with its tries |
//! | upload | a file of items that is too large for a body |
//! | pipeline | a document that says from which generations, in which order, a result is made |
//! | step | one of a pipeline's generations, with its tries |
//! | run | one execution of a pipeline |
//! | subject | what generations are about, as the caller names it; it has versions |
//! | version | a numbered snapshot of a subject's text, which never changes |
//! | notification | that something has happened, told to users and to endpoints |
//! | fleet | processes that take jobs from a queue, in place of functions |
//! | migration | a change of stored data by an operator's command, planned, written and undone |
//! | key | a caller's credential: determines the organization and the permitted actions |
//!
//! Read in this order: the nouns and their rules ([`generation`], [`log`], [`json`], [`access`], [`quota`], [`statistics`], [`subjects`], [`acceptance`], [`documents`], [`importers`], [`imports`], [`entities`], [`audit`], [`batches`], [`uploads`], [`pipelines`], [`runs`], [`notifications`], [`migrations`]), the world outside
//! ([`providers`], [`receivers`], [`aws`]), and the verbs of [`App`].

pub mod acceptance;
pub mod access;
pub mod app;
pub mod audit;
pub mod aws;
pub mod batches;
pub mod chat_completions;
pub mod clock;
pub mod config;
pub mod documents;
pub mod entities;
pub mod error;
pub mod estimate;
mod feeds;
pub mod fleet;
pub mod generation;
pub mod hash;
pub mod hints;
pub mod ids;
pub mod importers;
pub mod imports;
pub mod json;
pub mod limits;
pub mod log;
pub mod migrations;
pub mod notifications;
pub mod pipelines;
pub mod providers;
pub mod quota;
pub mod receivers;
pub mod responses;
pub mod retry;
pub mod runs;
mod spreadsheet;
pub mod statistics;
pub mod subjects;
pub mod telemetry;
pub mod uploads;
mod verbs;

pub use access::api_key::ApiKey;
pub use access::grant::Grant;
pub use access::scope::{Scope, Scopes};
pub use app::App;
pub use clock::Clock;
pub use config::Config;
pub use error::{Error, ErrorCode, FieldError, TooMuch, TooMuchOf};
pub use generation::job::{Job, RideJob, StreamJob};
pub use generation::list_query::{ListQuery, Order};
pub use ids::{
    AuditId, BatchId, BatchKey, DeliveryId, EndpointId, EntityId, EventId, GenerationId, GenerationKey, ImportId, InboxId, KeyId,
    Organization, RunId, RunKey, SubjectId, SubjectKey, UploadId, UserId,
};
pub use verbs::{
    AcceptanceView, Accepted, AcceptedPrompt, Attachment, AuditList, AuditQuery, BatchEvent, BatchEventData, BatchList,
    BatchQuery, BatchResults, BatchRetention, BatchTail, BatchView, CaughtUp, ChatCompletionTail, Claim, Compaction, CountsView,
    Created, DELIVER_PATIENCE, Decided, DecidedItem, Delivered, DeliveryList, DeliveryView, Diff, EndpointList, EndpointView,
    EntityList, EntityQuery, EntryView, EventPage, Export, FannedOut, GenerationPage, GivenUp, ImportAttempts, ImportList,
    ImporterCheck, ImporterList, ImporterVersionView, ImporterView, Inbox, InboxTokenRequest, Inspection, ItemList, KeySha256,
    KeyView, LogEntry, LogPage, LogTail, MarkedRead, Metered, Model, NewKey, NextItem, NextRider, NoNext,
    OrganizationTokenRequest, Output, PipelineCheck, PipelineList, PipelineVersionView, PipelineView, Populated, ProgressView,
    Published, PublishedImporter, Purged, QuotaView, ReadToken, Recovered, Redriven, ResponseTail, Retention, RetentionRules,
    Rider, Rode, RunEvent, RunEventData, RunList, RunProgress, RunQuery, RunReport, RunRetention, RunTail, RunView, Settled,
    Started, StepList, StepView, StreamRecord, Streamed, SubjectList, Swept, Tail, UploadView, ValidationIssues, VersionList,
    VersionOutput, VersionRetention, Worked, Worker,
};
pub use verbs::{
    AcceptedPrompts, Content, DataChange, Maintenance, MigrationRun, RunOptions, Source, Stratos, UndoneMigration, Units,
    Verification, View,
};
