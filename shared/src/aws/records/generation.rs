//! A generation's rows: its record, request and validation issues.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, Update};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::key::{self, Key};
use super::transactions::{IntoItem, Transacted};
use super::{IS_NEW, Records};
use crate::acceptance::AcceptedFor;
use crate::aws::archive::ArchivePlace;
use crate::aws::buffer::packing;
use crate::aws::clients::{aws_error, unexpected};
use crate::aws::tables::{Item, delete_all, query_all, query_partition, update_where};
use crate::clock::rfc3339;
use crate::error::{Error, FieldError};
use crate::generation::request::Request;
use crate::generation::usage::TotalUsage;
use crate::generation::{Failure, Status};
use crate::ids::{BatchId, BatchKey, GenerationId, GenerationKey, Organization, RunId, RunKey, SubjectId};
use crate::notifications::subscriptions::OnEnd;
use crate::quota::{Allowance, DayUsage};
use crate::subjects::version::Origin;

/// A generation's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordRow {
    /// Partition key of the index `by_organization`.
    pub organization: Organization,
    /// Its sort key.
    pub generation: GenerationId,
    /// Partition key of the sparse index `by_open`, until the generation has its outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<String>,
    /// Its sort key. Present for as long as `open` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_at: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// `pending`, until the outcome brings a terminal status. In between, the status follows from the log.
    pub status: Status,
    /// The provider's name.
    pub provider: String,
    /// The model, as it was requested.
    pub model: String,
    /// The partition key of the row of the `Idempotency-Key` that it was created with, which is purged with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency: Option<String>,
    /// The day that it counts for, and what was left of it; absent where its organization's days are not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// API Gateway's id of the request that created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The caller's own entries: a JSON object as text, as in [`Outcome::metadata`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_metadata: Option<String>,
    /// The batch's item, or the run's step, of which it is a try: `bat_…#12`, `run_…#E5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The generation that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<GenerationId>,
    /// What it is about. The trigger of `settle` selects by it, so it is absent from generations without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectId>,
    /// What its version tells of the request. Present with `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Who is told of its end: [`OnEnd`] as JSON text. The trigger of `settle` selects by it, so it is absent where nobody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_end: Option<String>,
    /// The request's `timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// The request's; without one, what earlier versions of its subject had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_total_bytes: Option<u64>,
    /// The request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_total_chunks: Option<u64>,
    /// The subject that it is accepted for, and by whom.
    #[serde(flatten)]
    pub accepted: Option<AcceptedFor>,
    /// What its end has added.
    #[serde(flatten)]
    pub outcome: Option<Outcome>,
}

/// What the end of a generation adds to its record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// When the log ended, RFC 3339.
    pub completed_at: String,
    /// The reason for the status, where the status does not imply it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The error of a failed generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// `s3://bucket/key` of the text; absent where the log could not be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compacted: Option<String>,
    /// The provider's own word for why it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// RFC 3339.
    pub compacted_at: String,
    /// The function or person that wrote the outcome.
    pub compacted_by: String,
    /// Chunks of the log.
    pub chunk_count: u64,
    /// Deltas that contained text.
    pub received_chunks: u64,
    /// Bytes of text in the log.
    pub received_bytes: u64,
    /// The log's last event.
    pub last_seq: u64,
    /// Where the bucket's event log can be read from, beside its beginning; empty where it is short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_places: Vec<ArchivePlace>,
    /// The text's SHA-256 in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The text's length.
    pub bytes: u64,
    /// Whether the event log has tool calls or a refusal besides the text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_other_output: bool,
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TotalUsage>,
    /// Attempts that were begun, without hand-overs; absent where there is no log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// Micro-dollars; absent where the model has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// A JSON object as text: `DynamoDB` nests at most 32 levels, and JSON any number.
    pub metadata: String,
    /// The result's JSON text: for the same reason, and so that numbers keep their spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llm_response: Option<String>,
    /// The newest validation issue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_validation_issue_id: Option<String>,
}

/// A request up to this size stands in its row as it is, within one write unit with keys and names. A longer one is compressed.
pub const PLAIN_REQUEST_BYTES_MAX: usize = 900;

/// The request's JSON text, as it is or compressed; neither: it is too large for a row, and the bucket has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RequestRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    packed: Option<Vec<u8>>,
    /// When the row expires, epoch seconds; absent where nothing else has the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// A result that did not pass validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationIssue {
    /// Its id, which the record names.
    pub id: String,
    /// When it was found, RFC 3339.
    pub created_at: String,
    /// At most [`crate::limits::VALIDATION_ERRORS_MAX`] of them.
    pub errors: Vec<IssueError>,
    /// How many there are.
    pub error_count: usize,
}

/// One error of a validation issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueError {
    /// `metadata` or `output`, and a JSON Pointer into it.
    pub path: String,
    /// What was expected.
    pub message: String,
}

impl From<FieldError> for IssueError {
    fn from(error: FieldError) -> Self {
        Self { path: error.pointer, message: error.detail }
    }
}

/// The result of [`Records::create`].
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// The record is stored, and counted where it has an allowance.
    Stored,
    /// There was one, which is this and has not changed.
    Exists(Box<RecordRow>),
    /// The day's generations are used up, and nothing is stored.
    UsedUp,
}

impl RecordRow {
    /// The generation's key.
    #[must_use]
    pub fn key(&self) -> GenerationKey {
        GenerationKey::new(self.organization.clone(), self.generation.clone())
    }

    /// A new record, which is not stored yet.
    #[must_use]
    pub fn new(
        key: &GenerationKey,
        request: &Request,
        idempotency_sha256: Option<&str>,
        created_ms: i64,
        allowance: Option<Allowance>,
        request_id: Option<String>,
    ) -> Self {
        let created_at = rfc3339(created_ms);
        Self {
            organization: key.organization.clone(),
            generation: key.generation.clone(),
            open: Some(key::open_shard(&key.organization)),
            open_at: Some(key::open_at(&key.organization, &created_at)),
            created_at,
            status: Status::Pending,
            provider: request.provider.clone(),
            model: request.model.clone(),
            idempotency: idempotency_sha256.map(|sha256| Key::Idempotency(&key.organization, sha256).partition()),
            allowance,
            request_id,
            request_metadata: Some(&request.metadata).filter(|own| !own.is_empty()).map(|own| json!(own).to_string()),
            parent: None,
            retry_of: request.retry_of.clone(),
            subject: request.subject.clone(),
            origin: None,
            on_end: None,
            timeout_seconds: request.timeout,
            expected_total_bytes: request.expected_total_bytes,
            expected_total_chunks: request.expected_total_chunks,
            accepted: None,
            outcome: None,
        }
    }

    /// A record of a generation that has ended elsewhere.
    #[must_use]
    pub fn ended(
        key: &GenerationKey,
        request: &Request,
        created_ms: i64,
        status: Status,
        origin: Option<Origin>,
        accepted: Option<AcceptedFor>,
        outcome: Outcome,
    ) -> Self {
        let new = Self::new(key, request, None, created_ms, None, None);
        Self { open: None, open_at: None, status, origin, accepted, outcome: Some(outcome), ..new }
    }

    /// The same as a try of a batch's item.
    #[must_use]
    pub fn of_item(self, batch: &BatchId, index: u32) -> Self {
        Self { parent: Some(format!("{batch}#{index}")), ..self }
    }

    /// The batch of whose item it is a try, and the item's index.
    #[must_use]
    pub fn item(&self) -> Option<(BatchKey, u32)> {
        let (batch, index) = self.parent.as_deref()?.split_once('#')?;
        Some((BatchKey::new(self.organization.clone(), batch.parse().ok()?), index.parse().ok()?))
    }

    /// The same as a try of a run's step.
    #[must_use]
    pub fn of_step(self, run: &RunId, step: &str) -> Self {
        Self { parent: Some(format!("{run}#{step}")), ..self }
    }

    /// The run of whose step it is a try, and the step's id.
    #[must_use]
    pub fn step(&self) -> Option<(RunKey, &str)> {
        let (run, step) = self.parent.as_deref()?.split_once('#')?;
        Some((RunKey::new(self.organization.clone(), run.parse().ok()?), step))
    }

    /// Who is told of its end; `None`: nobody.
    #[must_use]
    pub fn on_end(&self) -> Option<OnEnd> {
        serde_json::from_str(self.on_end.as_deref()?).ok()
    }

    /// Sets who is told of its end, before it is stored.
    pub fn set_on_end(&mut self, on_end: Option<&OnEnd>) {
        self.on_end = on_end.and_then(|on_end| serde_json::to_string(on_end).ok());
    }

    /// The row of the `Idempotency-Key` that it was created with. The key's hash is all that follows the last `#`.
    fn idempotency_key(&self) -> Option<Key<'_>> {
        let (_, sha256) = self.idempotency.as_deref()?.rsplit_once('#')?;
        Some(Key::Idempotency(&self.organization, sha256))
    }
}

impl RequestRow {
    /// Compressed, unless the text fits into one write unit as it is.
    pub(super) fn new(request: Option<String>, expires_at: i64) -> Result<Self, Error> {
        let expires_at = Some(expires_at);
        match request {
            Some(text) if text.len() > PLAIN_REQUEST_BYTES_MAX => {
                Ok(Self { request: None, packed: Some(packing::deflate(text.as_bytes())?), expires_at })
            }
            request => Ok(Self { request, packed: None, expires_at }),
        }
    }

    /// The same for a row that does not expire.
    pub(super) fn kept(text: Option<String>) -> Result<Self, Error> {
        Ok(Self { expires_at: None, ..Self::new(text, 0)? })
    }

    pub(super) fn into_text(self) -> Result<Option<String>, Error> {
        let Some(packed) = self.packed else { return Ok(self.request) };
        String::from_utf8(packing::inflate(&packed)?).map(Some).map_err(|error| unexpected("dynamodb item", error))
    }
}

impl Records {
    /// Stores a new record and its request (`None`: the bucket has it). A record with an allowance is counted for its day, of
    /// which `generations_per_day` is the bound.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn create(&self, record: &RecordRow, request: Option<String>, request_expires_at: i64) -> Result<Created, Error> {
        let key = record.key();
        let request = RequestRow::new(request, request_expires_at)?;
        let Some(Allowance { day, generations_per_day, .. }) = &record.allowance else {
            self.put(Key::Request(&key), &request).await?;
            let held = self.put_where(Key::Record(&key), record, IS_NEW, None).await?;
            return Ok(held.map_or(Created::Stored, |held| Created::Exists(Box::new(held))));
        };
        let one = DayUsage { generations: 1, ..DayUsage::default() };
        let items = [
            self.put_in_transaction(Key::Record(&key), record, Some(IS_NEW))?.into_item(),
            self.put_in_transaction(Key::Request(&key), &request, None)?.into_item(),
            self.count(&key.organization, day, one, *generations_per_day)?.into_item(),
        ];
        Ok(match self.transact(items.into()).await? {
            Transacted::Done => Created::Stored,
            Transacted::Refused(held) if held.first() == Some(&false) => Created::Exists(Box::new(self.get(&key).await?)),
            Transacted::Refused(_) => Created::UsedUp,
        })
    }

    /// Stores the request of a generation whose record is yet to be stored, with others.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_request(&self, key: &GenerationKey, request: Option<String>, expires_at: i64) -> Result<(), Error> {
        self.put(Key::Request(key), &RequestRow::new(request, expires_at)?).await
    }

    /// The record.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Aws`].
    pub async fn get(&self, key: &GenerationKey) -> Result<RecordRow, Error> {
        self.find(key).await?.ok_or_else(|| Error::NotFound(key.generation.to_string()))
    }

    /// The record, if there is one.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn find(&self, key: &GenerationKey) -> Result<Option<RecordRow>, Error> {
        self.get_row(Key::Record(key)).await
    }

    /// The request's JSON text; `Some(None)`: the bucket has it; `None`: there is none, or it has expired.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn request(&self, key: &GenerationKey) -> Result<Option<Option<String>>, Error> {
        let row: Option<RequestRow> = self.get_row(Key::Request(key)).await?;
        row.map(RequestRow::into_text).transpose()
    }

    /// Keeps the request's row, if there still is one, for as long as the record.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn keep_request(&self, key: &GenerationKey) -> Result<(), Error> {
        let update = self.dynamodb.update_item().table_name(&self.table).set_key(Some(Key::Request(key).item()));
        let update = update.update_expression("REMOVE expires_at").condition_expression("attribute_exists(pk)");
        update_where(update.return_consumed_capacity(ReturnConsumedCapacity::Total), &self.meter).await.map(|_| ())
    }

    /// Writes the outcome, once, and adds `used` to the usage of its day. `false`: there is an outcome already, which was counted
    /// then, or the record is gone.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn finish(
        &self,
        key: &GenerationKey,
        status: Status,
        outcome: &Outcome,
        used: Option<(&str, DayUsage)>,
    ) -> Result<bool, Error> {
        let update = self.outcome_update(key, status, outcome)?;
        if let Some((day, used)) = used {
            let items = vec![update.into_item(), self.count(&key.organization, day, used, None)?.into_item()];
            return Ok(self.transact(items).await? == Transacted::Done);
        }
        self.update_alone(update).await
    }

    /// The update that writes an outcome on a record that has none.
    fn outcome_update(&self, key: &GenerationKey, status: Status, outcome: &Outcome) -> Result<Update, Error> {
        let mut fields: Item = serde_dynamo::to_item(outcome).map_err(|error| unexpected("dynamodb UpdateItem", error))?;
        fields.insert("status".into(), AttributeValue::S(status.as_str().into()));
        let condition = "attribute_exists(pk) AND attribute_not_exists(compacted_at)";
        self.set_in_transaction(Key::Record(key), fields, condition, "REMOVE #open, open_at", [("#open", "open")], [])
    }

    /// Stores a validation issue. The same one again changes nothing.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_issue(&self, key: &GenerationKey, issue: &ValidationIssue) -> Result<(), Error> {
        self.put(Key::Issue(key, &issue.id), issue).await
    }

    /// A generation's validation issues.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn issues(&self, key: &GenerationKey) -> Result<Vec<ValidationIssue>, Error> {
        let query = self.dynamodb.query().table_name(&self.table);
        let query = query
            .key_condition_expression("pk = :pk AND begins_with(sk, :issues)")
            .expression_attribute_values(":pk", AttributeValue::S(key.partition()))
            .expression_attribute_values(":issues", AttributeValue::S(key::ISSUES.into()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let rows = query_all(query, &self.meter).await?;
        let read = |row| serde_dynamo::from_item(row).map_err(|error| unexpected("dynamodb Query", error));
        rows.into_iter().map(read).collect()
    }

    /// Deletes every row of a generation, and that of the `Idempotency-Key` that it was created with.
    ///
    /// # Errors
    /// [`Error::Aws`]; the same call deletes the rest.
    pub async fn delete(&self, key: &GenerationKey, record: &RecordRow) -> Result<(), Error> {
        if let Some(idempotency) = record.idempotency_key() {
            self.delete_claim(idempotency, &key.generation).await?;
        }
        self.delete_rows(key).await
    }

    /// Deletes a claim of `generation`. After a day the same key may have been used again: then the row is another generation's.
    async fn delete_claim(&self, claim: Key<'_>, generation: &GenerationId) -> Result<(), Error> {
        let delete = self.dynamodb.delete_item().table_name(&self.table).set_key(Some(claim.item()));
        let delete = delete
            .condition_expression("generation = :generation")
            .expression_attribute_values(":generation", AttributeValue::S(generation.to_string()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match delete.send().await {
            Ok(deleted) => self.meter.wrote(deleted.consumed_capacity()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => self.meter.wrote(None),
                _ => return Err(aws_error("dynamodb DeleteItem")(error)),
            },
        }
        Ok(())
    }

    /// Deletes every row in a generation's partition; the record last, because a generation can be purged again for as long as
    /// it has a record.
    ///
    /// # Errors
    /// [`Error::Aws`]; the same call deletes the rest.
    pub async fn delete_rows(&self, key: &GenerationKey) -> Result<(), Error> {
        let query = query_partition(&self.dynamodb, &self.table, key.partition()).projection_expression("pk, sk");
        // Consistent: a row missing from an older view would never be deleted.
        let mut rows = query_all(query.consistent_read(true), &self.meter).await?;
        let record = Key::Record(key).item();
        let stored = rows.len();
        rows.retain(|row| *row != record);
        delete_all(&self.dynamodb, &self.table, &rows, &self.meter).await?;
        if rows.len() == stored {
            return Ok(());
        }
        self.delete_row(Key::Record(key)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::usage::Usage;

    fn key() -> GenerationKey {
        GenerationKey::new("acme".parse().unwrap(), GenerationId::new(1_700_000_000_000))
    }

    fn record(outcome: Option<Outcome>) -> RecordRow {
        RecordRow {
            organization: key().organization,
            generation: key().generation,
            open: Some("3".into()),
            parent: None,
            open_at: Some("acme#2026-11-21T09:30:00.123Z".into()),
            created_at: "2026-11-21T09:29:00.000Z".into(),
            status: Status::Pending,
            provider: "abacus".into(),
            model: "gpt-5".into(),
            idempotency: None,
            request_id: None,
            allowance: None,
            request_metadata: Some("{\"a\":1}".into()),
            retry_of: Some(key().generation),
            subject: Some("s@1".parse().unwrap()),
            origin: Some(Origin { temperature: Some(0.25), prompt_sha256: "5e".into(), ..Origin::default() }),
            on_end: Some("{\"webhook\":true}".into()),
            timeout_seconds: Some(9),
            expected_total_bytes: Some(8),
            expected_total_chunks: Some(7),
            accepted: outcome.is_some().then(|| AcceptedFor {
                accepted_subject: "s@1".parse().unwrap(),
                accepted_at: "2026-11-21T10:00:00.000Z".into(),
                accepted_by: None,
            }),
            outcome,
        }
    }

    #[test]
    fn record_reads_back_with_and_without_outcome() {
        let outcome = Outcome {
            completed_at: "2026-11-21T09:30:00.123Z".into(),
            reason: None,
            error: Some(Failure { code: "interrupted".into(), message: "m".into() }),
            compacted: Some("s3://b/k".into()),
            finish_reason: Some("length".into()),
            compacted_at: "2026-11-21T09:30:01.000Z".into(),
            compacted_by: "compact".into(),
            chunk_count: 3,
            received_chunks: 756,
            received_bytes: 9_013,
            last_seq: 40,
            event_places: vec![ArchivePlace(30, 99_000)],
            sha256: Some("ab".into()),
            bytes: 9_013,
            has_other_output: true,
            attempts: Some(2),
            cost: Some(12),
            usage: TotalUsage::of(Usage::estimate(8, 4), Usage::estimate(4, 8)),
            metadata: "{}".into(),
            llm_response: Some("{\"a\":0.78}".into()),
            last_validation_issue_id: None,
        };
        for outcome in [None, Some(outcome)] {
            let record = record(outcome);
            let item = super::super::item(Key::Record(&record.key()), &record).unwrap();
            let back: RecordRow = serde_dynamo::from_item(item).unwrap();
            assert_eq!(back, record);
        }
    }

    #[test]
    fn record_leads_back_to_its_idempotency_row() {
        let (organization, sha256) = (key().organization, "5e".repeat(32));
        let claim = Key::Idempotency(&organization, &sha256);
        let record = RecordRow { idempotency: Some(claim.partition()), ..record(None) };
        assert_eq!(record.idempotency_key(), Some(claim));
    }
}
