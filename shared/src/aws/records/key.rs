//! Every kind of row in both tables: its key, what it holds, who writes it, and how it goes away.
//!
//! The rows of the records table are the variants of [`Key`], which alone formats its keys. The buffer table has two kinds, whose
//! keys are made in [`rows`](crate::aws::buffer::rows); both expire together, at the `expires_at` that each of them carries, and
//! purge, `delete_after` and `compact` of a purged generation delete them earlier:
//!
//! | partition key | sort key | row | written by |
//! |---|---|---|---|
//! | `{organization}#{generation}` | 12 digits: the first event's number | a chunk of the log | the writer; cancel, sweep: the terminal one |
//! | `{organization}#{generation}` | `meta` | attempt, lease, readers, cancel request | the writer; readers, cancel, sweep |
//!
//! The records table has two indexes, keys only, both written with the record: [`BY_ORGANIZATION`] and the sparse [`BY_OPEN`].

use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest, Sha256};

use crate::aws::tables::Item;
use crate::documents::{DocumentKey, Noun};
use crate::ids::{
    AuditId, BatchKey, DeliveryId, EndpointId, EntityId, EventId, GenerationId, GenerationKey, ImportId, InboxId, KeyId,
    MigrationId, Organization, RunId, RunKey, SubjectKey, UserId,
};
use crate::limits;
use crate::statistics::TallyKey;

/// The index of an organization's generations: partition key `organization`, sort key `generation`.
pub(in crate::aws) const BY_ORGANIZATION: &str = "by_organization";

/// The index of generations that have not ended: partition key `open` ([`open_shard`]), sort key `open_at`. It is eventually
/// consistent.
pub(in crate::aws) const BY_OPEN: &str = "by_open";

/// The indexes of the records table, each named after its partition key.
pub const INDEXES: [&str; 2] = [BY_ORGANIZATION, BY_OPEN];

/// The partition key of [`Key::Attached`].
pub(in crate::aws) const ATTACHED: &str = "#attached";

/// What the sort keys of [`Key::BatchItem`] begin with.
pub(in crate::aws) const ITEMS: &str = "item#";

/// What the sort keys of [`Key::ItemRequest`] begin with.
pub(in crate::aws) const ITEM_REQUESTS: &str = "request#";

/// The sort key of [`Key::Run`].
pub(in crate::aws) const RUN: &str = "run";

/// What the sort keys of [`Key::RunStep`] begin with. They follow [`RUN`], so that one query reads both.
pub(in crate::aws) const STEPS: &str = "step#";

/// What the sort keys of [`Key::RunEntry`] begin with.
pub(in crate::aws) const ENTRIES: &str = "entry#";

/// What the sort keys of [`Key::Issue`] begin with.
pub(in crate::aws) const ISSUES: &str = "issue#";

/// What the sort keys of [`Key::Entity`] begin with.
pub(in crate::aws) const ENTITIES: &str = "entity#";

/// What the sort keys of [`Key::Import`] begin with.
pub(in crate::aws) const IMPORTS: &str = "import#";

/// What the sort keys of [`Key::Note`] begin with.
pub(in crate::aws) const NOTES: &str = "note#";

/// What the sort keys of [`Key::ImportAttempt`] begin with.
pub(in crate::aws) const IMPORT_ATTEMPTS: &str = "import_attempt#";

/// What the sort keys of [`Key::Inbox`] begin with.
pub(in crate::aws) const INBOX: &str = "ntf_";

/// The key of a row in the records table. No two kinds share a key, and every key names its organization, except
/// [`Key::ApiKeyHash`], which is looked up to learn the organization, and [`Key::SweepCursor`], [`Key::Migration`], its lock and
/// [`Key::Attached`], which are the deployment's. Their partitions begin with `#`, which no organization's name contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "an API key is a kind of row")]
pub(in crate::aws) enum Key<'a> {
    /// `{organization}#{generation}`, `record`: [`RecordRow`](super::RecordRow).
    ///
    /// Created by `start`. The end adds the outcome, once, and takes the record out of `by_open`. Whatever changes it after that sets
    /// `revised_at`, by which the trigger of `meter` tells that this is not the end. Purge deletes it last.
    Record(&'a GenerationKey),
    /// `{organization}#{generation}`, `request`: the request's JSON text, compressed if that is long, or nothing where the bucket has it.
    ///
    /// Written by `start`, before or with the record. Expires [`limits::REQUEST_TTL`] behind the log, because the event log in the
    /// bucket then has the request; where a generation ended without one, the row is kept. Purge deletes it.
    Request(&'a GenerationKey),
    /// `{organization}#{generation}`, `issue#{id}`: the errors of a result that did not pass validation.
    ///
    /// Written by `compact` before the outcome, with an id that follows from the log. Purge deletes it.
    Issue(&'a GenerationKey, &'a str),
    /// `{organization}#{generation}`, `import_attempt#` and the id of the entry in the audit: [`Attempt`](crate::imports::Attempt).
    ///
    /// Written once, with that entry. Purge deletes it.
    ImportAttempt(&'a GenerationKey, &'a AuditId),
    /// `{organization}#idempotency#{sha256}`, `key`: the generation that an `Idempotency-Key` was used for, and the fingerprint of
    /// its request. The SHA-256 is that of the caller's key.
    ///
    /// Claimed by `start`, conditionally. Expires after [`limits::IDEMPOTENCY_TTL`]; purge deletes it where it still names the
    /// purged generation.
    Idempotency(&'a Organization, &'a str),
    /// `{organization}#create#{fingerprint}`, `key`: the newest generation created by a request of that fingerprint without an
    /// `Idempotency-Key`. Has the same attributes as [`Key::Idempotency`].
    ///
    /// Overwritten by each such create of the Responses API. Expires after [`limits::CREATE_RETRY_WINDOW`].
    Create(&'a Organization, &'a str),
    /// `{organization}#settings`, `quota`: the organization's own [`Quota`](crate::quota::Quota), and the topics that its endpoints want.
    ///
    /// The quota is written by `longhand quota`, the topics by `api` and `deliver`. Never goes.
    Quota(&'a Organization),
    /// `{organization}#usage`, the day (`2026-11-21`): [`DayUsage`](crate::quota::DayUsage), where the organization's days are
    /// bounded.
    ///
    /// Added to in the transactions that create a record and write its outcome. Expires [`limits::USAGE_TTL`] after the day.
    Usage(&'a Organization, &'a str),
    /// `{organization}#statistics`, `{day}#` and 32 hex digits of the SHA-256 of provider and model, which may be long and have any characters:
    /// [`Tally`](crate::statistics::Tally).
    ///
    /// Replaced by `meter`, under its revision. Expires [`limits::USAGE_TTL`] after the day; no purge takes anything from it.
    Statistics(&'a TallyKey),
    /// `{organization}#keys`, the key's id: [`KeyRow`](super::KeyRow), for lists.
    ///
    /// Written by `longhand keys` in one transaction with [`Key::ApiKeyHash`]; revoking marks both. Never goes.
    ApiKey(&'a Organization, &'a KeyId),
    /// `{organization}#subject:{subject}`, `subject`: [`Subject`](crate::subjects::Subject). In [`BY_ORGANIZATION`] under
    /// [`subjects_of`], sorted by the subject's name.
    ///
    /// Created by `start` or with the first version; every change of it but the generation that was started last is made under its
    /// revision. Deleted last of its partition, when the subject is.
    Subject(&'a SubjectKey),
    /// The same partition, `version#` and the number in 9 digits: [`Version`](crate::subjects::version::Version).
    ///
    /// Written once, in one transaction with the subject. Retention deletes it, or the deletion of the subject.
    Version(&'a SubjectKey, u64),
    /// The same partition, `generation#{generation}`: the number of the version that the generation has become.
    ///
    /// Written with that version, so that there is one however often `settle` runs. Goes with the subject.
    VersionOf(&'a SubjectKey, &'a GenerationId),
    /// The same partition, `run#{run}`: the number of the version that the run's result has become.
    ///
    /// As [`Self::VersionOf`].
    VersionOfRun(&'a SubjectKey, &'a RunId),
    /// The same partition, `entity#` and the id: [`Entity`](crate::entities::Entity).
    ///
    /// Written by `api` under its revision, with the entry in the audit. Goes with the subject.
    Entity(&'a SubjectKey, &'a EntityId),
    /// The same partition, `import#` and the id: [`Import`](crate::imports::Import). While it is started, in [`BY_OPEN`] under [`job_shard`].
    ///
    /// As [`Self::Entity`]; `sweep` too.
    Import(&'a SubjectKey, &'a ImportId),
    /// The same partition, `note#` and the id of an entry in the audit: the note of who acted.
    ///
    /// Written once, with that entry. Goes with the subject: the entry stays without it.
    Note(&'a SubjectKey, &'a AuditId),
    /// `{organization}#event:{event}`, `notification`: a [`Notification`](crate::notifications::Notification). The trigger of `settle`
    /// selects by this sort key. In [`BY_ORGANIZATION`] under [`events_of`], sorted by its time.
    ///
    /// Written once, in the transaction that makes it true. Expires after [`limits::NOTIFICATION_TTL`].
    Notification(&'a Organization, &'a EventId),
    /// `{organization}#audit`, the entry's id: [`Entry`](crate::audit::Entry).
    ///
    /// Written once, in the transaction of the change that it tells. Never changes, and never goes.
    Audit(&'a Organization, &'a AuditId),
    /// `{organization}#webhooks`, the endpoint's id: [`Endpoint`](crate::notifications::endpoint::Endpoint).
    ///
    /// Written by `api` and `deliver`, under its revision. Goes when it is deleted.
    Endpoint(&'a Organization, &'a EndpointId),
    /// `{organization}#delivery:{delivery}`, `delivery`: [`Delivery`](crate::notifications::delivery::Delivery). In [`BY_ORGANIZATION`]
    /// under [`deliveries_to`], sorted by its id; while it is pending, in [`BY_OPEN`] under [`due_shard`], sorted by when it is due.
    ///
    /// Written by `settle` and `api`, once for each id; changed by `deliver`. Expires after [`limits::NOTIFICATION_TTL`].
    Delivery(&'a Organization, &'a DeliveryId),
    /// `{organization}#inbox:{user}`, the entry's id: [`Entry`](crate::notifications::inbox::Entry).
    ///
    /// Written by `settle`, once; marked as read by `api`. Expires after [`limits::INBOX_TTL`].
    Inbox(&'a Organization, &'a UserId, &'a InboxId),
    /// The same partition, `preferences`: [`Preferences`](crate::notifications::inbox::Preferences).
    ///
    /// Overwritten by `api`. Goes when the user's list is deleted.
    Preferences(&'a Organization, &'a UserId),
    /// `#key#{sha256 of the API key}`, `key`: [`KeyHashRow`](super::KeyHashRow), for `authorize`.
    ///
    /// Written and marked with [`Key::ApiKey`]. Never goes.
    ApiKeyHash(&'a str),
    /// `#sweep`, `cursor`: the generation at which the last sweep ran out of time, or nothing.
    ///
    /// Overwritten by `sweep`. Never goes.
    SweepCursor,
    /// `{organization}#{batch}`, `batch`: [`BatchRow`](super::BatchRow).
    ///
    /// Created by `start` of a batch. Each step of the batch writes it anew, on the condition of its revision.
    Batch(&'a BatchKey),
    /// `{organization}#{batch}`, `item#000012`: [`ItemRow`](super::ItemRow).
    ///
    /// Written before the batch begins, and then by its steps, in the transaction that writes the batch.
    BatchItem(&'a BatchKey, u32),
    /// `{organization}#{batch}`, `request#000012`: the request of the item's tries, or a note that the bucket has it.
    ///
    /// Written before the batch begins, and deleted with the batch or with the generation of a try. Expires.
    ItemRequest(&'a BatchKey, u32),
    /// `{organization}#{run}`, `run`: [`RunRow`](super::RunRow).
    ///
    /// Created by `start` of a run, in one transaction with its place. Each plan of the run writes it anew, on the condition of its revision.
    Run(&'a RunKey),
    /// `{organization}#{run}`, `input`: the run's input, or a note that the bucket has it.
    ///
    /// Written before the run. Goes with it.
    RunInput(&'a RunKey),
    /// `{organization}#{run}`, `step#E5`: [`StepRow`](super::StepRow). A step that was not begun has none.
    ///
    /// Written by the run's plans, in the transaction that writes the run.
    RunStep(&'a RunKey, &'a str),
    /// `{organization}#{run}`, `entry#000000012`: [`EntryRow`](super::EntryRow), what the plan with this revision entered in the execution log.
    ///
    /// Written once, in the transaction that writes the run. Every revision has one, so that none can be missing unseen.
    RunEntry(&'a RunKey, u64),
    /// `{organization}#runs`, `places`: [`Places`](crate::runs::places::Places).
    ///
    /// Written in the transactions that start and end runs, under its revision. Never goes.
    Places(&'a Organization),
    /// `{organization}#pipeline#{name}` or `{organization}#importer#{name}`, `head`: [`DocumentHead`](super::DocumentHead). In [`BY_ORGANIZATION`] under [`documents_of`],
    /// sorted by the pipeline's name.
    ///
    /// Written by `api` with each version, on the condition of the number before. Never goes.
    Document(&'a DocumentKey),
    /// The same partition, `version#` and the number in 6 digits: [`DocumentVersionRow`](super::DocumentVersionRow).
    ///
    /// Written once, in one transaction with the head. Never goes: runs name it.
    DocumentVersion(&'a DocumentKey, u64),
    /// `#migrations`, the run's id: [`MigrationRow`](super::MigrationRow).
    ///
    /// Written by `longhand migrate` and `longhand backfill`. Never goes: its journal is in the bucket.
    Migration(&'a MigrationId),
    /// The same partition, `lock`: [`MigrationLock`](super::MigrationLock).
    ///
    /// Taken, renewed and given back by those commands, conditionally.
    MigrationLock,
    /// `#imported#` and the SHA-256 of what names a row of another system, `row`: [`ImportedRow`](super::ImportedRow).
    ///
    /// Written once, by a migration, with the generation. Undo deletes it; it stays when the generation is purged.
    Imported(&'a str),
    /// `#attached`, the place's number (`0007`): until when an attached start holds it.
    ///
    /// Taken and left by `start`, conditionally. Expires a day after its last holder.
    Attached(u32),
}

impl Key<'_> {
    /// The partition key.
    pub fn partition(&self) -> String {
        match self {
            Self::Record(key) | Self::Request(key) | Self::Issue(key, _) | Self::ImportAttempt(key, _) => key.partition(),
            Self::Idempotency(organization, sha256) => format!("{organization}#idempotency#{sha256}"),
            Self::Create(organization, fingerprint) => format!("{organization}#create#{fingerprint}"),
            Self::Quota(organization) => format!("{organization}#settings"),
            Self::Usage(organization, _) => format!("{organization}#usage"),
            Self::Statistics(key) => statistics_of(&key.organization),
            Self::ApiKey(organization, _) => api_keys(organization),
            Self::Subject(key)
            | Self::Version(key, _)
            | Self::VersionOf(key, _)
            | Self::VersionOfRun(key, _)
            | Self::Entity(key, _)
            | Self::Import(key, _)
            | Self::Note(key, _) => key.partition(),
            Self::Notification(organization, event) => format!("{organization}#event:{event}"),
            Self::Audit(organization, _) => audit(organization),
            Self::Endpoint(organization, _) => endpoints(organization),
            Self::Delivery(organization, delivery) => format!("{organization}#delivery:{delivery}"),
            Self::Inbox(organization, user, _) | Self::Preferences(organization, user) => inbox(organization, user),
            Self::ApiKeyHash(sha256) => format!("#key#{sha256}"),
            Self::SweepCursor => "#sweep".to_owned(),
            Self::Batch(key) | Self::BatchItem(key, _) | Self::ItemRequest(key, _) => key.partition(),
            Self::Run(key) | Self::RunInput(key) | Self::RunStep(key, _) | Self::RunEntry(key, _) => key.partition(),
            Self::Places(organization) => format!("{organization}#runs"),
            Self::Document(key) | Self::DocumentVersion(key, _) => key.partition(),
            Self::Migration(_) | Self::MigrationLock => "#migrations".to_owned(),
            Self::Imported(sha256) => format!("#imported#{sha256}"),
            Self::Attached(_) => ATTACHED.to_owned(),
        }
    }

    /// The sort key.
    pub fn sort(&self) -> String {
        match self {
            Self::Record(_) => "record".to_owned(),
            Self::Request(_) => "request".to_owned(),
            Self::Issue(_, id) => format!("{ISSUES}{id}"),
            Self::ImportAttempt(_, id) => format!("{IMPORT_ATTEMPTS}{id}"),
            Self::Idempotency(..) | Self::Create(..) | Self::ApiKeyHash(_) => "key".to_owned(),
            Self::Quota(_) => "quota".to_owned(),
            Self::Usage(_, day) => (*day).to_owned(),
            Self::Statistics(key) => {
                // With the length, no two pairs are the same text.
                let sha256 = Sha256::digest(format!("{}:{}{}", key.provider.len(), key.provider, key.model));
                format!("{}#{}", key.day, &format!("{sha256:x}")[..32])
            }
            Self::ApiKey(_, id) => id.to_string(),
            Self::Subject(_) => "subject".to_owned(),
            Self::Version(_, number) => format!("version#{number:09}"),
            Self::VersionOf(_, generation) => format!("generation#{generation}"),
            Self::VersionOfRun(_, run) => format!("run#{run}"),
            Self::Entity(_, id) => format!("{ENTITIES}{id}"),
            Self::Import(_, id) => format!("{IMPORTS}{id}"),
            Self::Note(_, id) => format!("{NOTES}{id}"),
            Self::Notification(..) => "notification".to_owned(),
            Self::Audit(_, id) => id.to_string(),
            Self::Endpoint(_, id) => id.to_string(),
            Self::Delivery(..) => "delivery".to_owned(),
            Self::Inbox(_, _, id) => id.to_string(),
            Self::Preferences(..) => "preferences".to_owned(),
            Self::SweepCursor => "cursor".to_owned(),
            Self::Batch(_) => "batch".to_owned(),
            Self::BatchItem(_, index) => format!("{ITEMS}{index:06}"),
            Self::ItemRequest(_, index) => format!("{ITEM_REQUESTS}{index:06}"),
            Self::Run(_) => RUN.to_owned(),
            Self::RunInput(_) => "input".to_owned(),
            Self::RunStep(_, step) => format!("{STEPS}{step}"),
            Self::RunEntry(_, revision) => format!("{ENTRIES}{revision:09}"),
            Self::Places(_) => "places".to_owned(),
            Self::Document(_) => "head".to_owned(),
            Self::DocumentVersion(_, number) => format!("version#{number:06}"),
            Self::Migration(run) => run.to_string(),
            Self::MigrationLock => "lock".to_owned(),
            Self::Imported(_) => "row".to_owned(),
            Self::Attached(place) => format!("{place:04}"),
        }
    }

    /// Both, as DynamoDB takes them.
    pub fn item(&self) -> Item {
        [("pk".to_owned(), AttributeValue::S(self.partition())), ("sk".to_owned(), AttributeValue::S(self.sort()))].into()
    }
}

/// The partition of all of an organization's [`Key::ApiKey`].
pub(in crate::aws) fn api_keys(organization: &Organization) -> String {
    format!("{organization}#keys")
}

/// The partition of an organization's statistics.
pub(in crate::aws) fn statistics_of(organization: &Organization) -> String {
    format!("{organization}#statistics")
}

/// The partition of an organization's subjects in [`BY_ORGANIZATION`]. No organization is called so.
pub(in crate::aws) fn subjects_of(organization: &Organization) -> String {
    format!("{organization}#subject")
}

/// The partition of an organization's documents of a noun in [`BY_ORGANIZATION`]. No organization is called so.
pub(in crate::aws) fn documents_of(noun: Noun, organization: &Organization) -> String {
    format!("{organization}#{}", noun.as_str())
}

/// The partition of all of an organization's [`Key::Endpoint`].
pub(in crate::aws) fn endpoints(organization: &Organization) -> String {
    format!("{organization}#webhooks")
}

/// The partition of all of an organization's [`Key::Audit`].
pub(in crate::aws) fn audit(organization: &Organization) -> String {
    format!("{organization}#audit")
}

/// The partition of a user's [`Key::Inbox`] and [`Key::Preferences`].
pub(in crate::aws) fn inbox(organization: &Organization, user: &UserId) -> String {
    format!("{organization}#inbox:{user}")
}

/// The partition of an organization's notifications in [`BY_ORGANIZATION`]. No organization is called so.
pub(in crate::aws) fn events_of(organization: &Organization) -> String {
    format!("{organization}#event")
}

/// The partition of the deliveries to an endpoint in [`BY_ORGANIZATION`]. No organization is called so.
pub(in crate::aws) fn deliveries_to(organization: &Organization, endpoint: &EndpointId) -> String {
    format!("{organization}#delivery:{endpoint}")
}

/// The partition key of a pending delivery in [`BY_OPEN`]: one of [`limits::OPEN_SHARDS`].
pub(in crate::aws) fn due_shard(delivery: &DeliveryId) -> String {
    due(shard_of(delivery.as_str()))
}

/// The partition key of deliveries in [`BY_OPEN`] by the number of their shard.
pub(in crate::aws) fn due(shard: u8) -> String {
    format!("due{shard}")
}

/// What the partition keys of an organization's rows begin with, and the sort keys of its generations in [`BY_OPEN`].
pub(in crate::aws) fn prefix(organization: &Organization) -> String {
    format!("{organization}#")
}

/// The partition key of an organization in [`BY_OPEN`]: a shard from 0 to [`limits::OPEN_SHARDS`], by FNV-1a of its name. Records
/// store it: another function would require rewriting them.
pub(in crate::aws) fn open_shard(organization: &Organization) -> String {
    shard_of(organization.as_str()).to_string()
}

fn shard_of(name: &str) -> u8 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    u8::try_from(hash % u64::from(limits::OPEN_SHARDS)).unwrap_or_default()
}

/// The partition key of an organization's open batches in [`BY_OPEN`], apart from that of its generations, which count as running.
pub(in crate::aws) fn job_shard(organization: &Organization) -> String {
    job_shard_name(&open_shard(organization))
}

/// The partition key of a shard of open batches in [`BY_OPEN`].
pub(in crate::aws) fn job_shard_name(shard: &str) -> String {
    format!("job{shard}")
}

/// The partition key of an organization's batches in [`BY_ORGANIZATION`]; no organization's name contains `#`.
pub(in crate::aws) fn batches(organization: &Organization) -> String {
    format!("{organization}#batch")
}

/// The partition key of an organization's runs in [`BY_ORGANIZATION`]; no organization's name contains `#`.
pub(in crate::aws) fn runs(organization: &Organization) -> String {
    format!("{organization}#run")
}

/// The sort key of a generation in [`BY_OPEN`].
pub(in crate::aws) fn open_at(organization: &Organization, created_at: &str) -> String {
    format!("{}{created_at}", prefix(organization))
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
