//! The records table: what lasts.

mod api_keys;
mod creates;
mod listing;
mod open;
pub(in crate::aws) mod rows;
mod sweeps;
mod transactions;
mod usage;

pub use api_keys::{KeyHashRow, KeyRow};
pub use listing::Stored;
pub use rows::{Outcome, RecordRow, ValidationIssueRow};
pub use usage::Counted;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::rows::{IdempotencyRow, IssueError, RequestRow};
use super::clients::{aws_error, query_partition, unexpected, update_where};
use super::meter::Meter;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::generation::Status;
use crate::generation::request::Request;
use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::limits;
use crate::quota::Allowance;

type Item = HashMap<String, AttributeValue>;

/// The table of records, requests, validation issues and idempotency keys.
#[derive(Debug, Clone)]
pub struct Records {
    pub(in crate::aws) dynamodb: Client,
    pub(in crate::aws) table: String,
    pub(crate) meter: Meter,
}

/// What became of an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyClaim {
    /// It is new, and now this generation's.
    New,
    /// It was used for this generation, with this fingerprint of its request.
    Used(GenerationId, String),
}

/// A page of generations, newest first.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// Their records.
    pub records: Vec<RecordRow>,
    /// Whether there are older ones.
    pub has_more: bool,
}

/// The update that writes an outcome on a record that has none.
pub(in crate::aws) struct OutcomeUpdate {
    pub condition: &'static str,
    pub expression: String,
    pub names: HashMap<String, String>,
    pub values: Item,
}

impl OutcomeUpdate {
    pub fn new(status: Status, outcome: &Outcome) -> Result<Self, Error> {
        let mut fields: Item = serde_dynamo::to_item(outcome).map_err(|error| unexpected("dynamodb UpdateItem", error))?;
        fields.insert("status".into(), AttributeValue::S(status.as_str().into()));
        let (mut names, mut values, mut sets) =
            (HashMap::from([("#open".to_owned(), "open".to_owned())]), Item::new(), Vec::new());
        for (number, (name, value)) in fields.into_iter().enumerate() {
            sets.push(format!("#n{number} = :v{number}"));
            names.insert(format!("#n{number}"), name);
            values.insert(format!(":v{number}"), value);
        }
        let expression = format!("SET {} REMOVE #open, open_at", sets.join(", "));
        Ok(Self { condition: "attribute_exists(pk) AND attribute_not_exists(compacted_at)", expression, names, values })
    }
}

impl Records {
    /// Over `table`.
    #[must_use]
    pub const fn new(dynamodb: Client, table: String, meter: Meter) -> Self {
        Self { dynamodb, table, meter }
    }

    /// A new record, which is not stored yet.
    #[must_use]
    pub fn new_record(
        key: &GenerationKey,
        request: &Request,
        idempotency_sha256: Option<&str>,
        created_ms: i64,
        allowance: Option<Allowance>,
    ) -> RecordRow {
        let created_at = rfc3339(created_ms);
        RecordRow {
            pk: key.partition(),
            sk: rows::RECORD.into(),
            organization: key.organization.clone(),
            generation: key.generation.clone(),
            open: Some(open::shard(&key.organization)),
            open_at: Some(open::open_at(&key.organization, &created_at)),
            created_at,
            status: Status::Pending,
            provider: request.provider.clone(),
            model: request.model.clone(),
            idempotency: idempotency_sha256.map(|hash| idempotency_partition(&key.organization, hash)),
            allowance,
            request_id: None,
            outcome: None,
        }
    }

    /// Stores a new record. Stored already: nothing changes.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn create(&self, record: &RecordRow) -> Result<(), Error> {
        self.put_new(record, "attribute_not_exists(pk)", None).await.map(|_| ())
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
        self.get_row(&key.partition(), rows::RECORD).await
    }

    /// Stores the request's JSON text; `None` says that it lies in the bucket.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_request(&self, key: &GenerationKey, request: Option<String>) -> Result<(), Error> {
        self.put(&RequestRow { pk: key.partition(), sk: rows::REQUEST.into(), request }).await
    }

    /// The request's JSON text; `Some(None)`: it lies in the bucket; `None`: there is none.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn request(&self, key: &GenerationKey) -> Result<Option<Option<String>>, Error> {
        let row: Option<RequestRow> = self.get_row(&key.partition(), rows::REQUEST).await?;
        Ok(row.map(|row| row.request))
    }

    /// Writes the outcome, once. `false`: there is one already, or the record is gone.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn finish(&self, key: &GenerationKey, status: Status, outcome: &Outcome) -> Result<bool, Error> {
        let OutcomeUpdate { condition, expression, names, values } = OutcomeUpdate::new(status, outcome)?;
        let update = self
            .dynamodb
            .update_item()
            .table_name(&self.table)
            .set_key(Some(row_key(&key.partition(), rows::RECORD)))
            .condition_expression(condition)
            .update_expression(expression)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        update_where(update, &self.meter).await
    }

    /// Stores a validation issue. The same one again changes nothing.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_issue(&self, key: &GenerationKey, id: &str, created_at: String, errors: &[IssueError]) -> Result<(), Error> {
        let kept = errors.iter().take(limits::VALIDATION_ERRORS_MAX).cloned().collect();
        let sk = format!("issue#{id}");
        let error_count = errors.len() as u64;
        self.put(&ValidationIssueRow { pk: key.partition(), sk, id: id.to_owned(), created_at, errors: kept, error_count }).await
    }

    /// A validation issue.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn issue(&self, key: &GenerationKey, id: &str) -> Result<Option<ValidationIssueRow>, Error> {
        self.get_row(&key.partition(), &format!("issue#{id}")).await
    }

    /// Claims an `Idempotency-Key` for `generation`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn claim_idempotency(
        &self,
        organization: &Organization,
        key_sha256: &str,
        generation: &GenerationId,
        fingerprint: &str,
        now_ms: i64,
    ) -> Result<IdempotencyClaim, Error> {
        let now = now_ms / 1_000;
        let row = IdempotencyRow {
            pk: idempotency_partition(organization, key_sha256),
            sk: rows::IDEMPOTENCY.into(),
            generation: generation.clone(),
            fingerprint: fingerprint.to_owned(),
            expires_at: now + limits::IDEMPOTENCY_TTL.as_secs().cast_signed(),
        };
        let held = self.put_new(&row, "attribute_not_exists(pk) OR expires_at <= :now", Some((":now", now))).await?;
        let Some(held) = held else { return Ok(IdempotencyClaim::New) };
        let held: IdempotencyRow = serde_dynamo::from_item(held).map_err(|error| unexpected("dynamodb PutItem", error))?;
        Ok(IdempotencyClaim::Used(held.generation, held.fingerprint))
    }

    /// The generation that an `Idempotency-Key` was used for, without claiming it.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn idempotent(
        &self,
        organization: &Organization,
        key_sha256: &str,
        now_ms: i64,
    ) -> Result<Option<GenerationId>, Error> {
        let partition = idempotency_partition(organization, key_sha256);
        let row: Option<IdempotencyRow> = self.get_row(&partition, rows::IDEMPOTENCY).await?;
        Ok(row.filter(|row| row.expires_at > now_ms / 1_000).map(|row| row.generation))
    }

    /// An organization's generations, newest first, from behind `after` on.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn list(&self, organization: &Organization, after: Option<&GenerationId>, limit: usize) -> Result<ListPage, Error> {
        let mut query = self
            .dynamodb
            .query()
            .table_name(&self.table)
            .index_name(super::INDEXES[0])
            .expression_attribute_values(":organization", AttributeValue::S(organization.to_string()))
            .scan_index_forward(false)
            .limit(i32::try_from(limit + 1).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        query = match after {
            Some(after) => query
                .key_condition_expression("organization = :organization AND generation < :after")
                .expression_attribute_values(":after", AttributeValue::S(after.to_string())),
            None => query.key_condition_expression("organization = :organization"),
        };
        let page = query.send().await.map_err(aws_error("dynamodb Query"))?;
        self.meter.read(page.consumed_capacity());
        let mut keys: Vec<String> = partitions(page.items());
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        Ok(ListPage { records: self.get_all(&keys).await?, has_more })
    }

    /// Deletes every row of a generation, and the idempotency row that leads to it.
    ///
    /// # Errors
    /// [`Error::Aws`]; the same call goes on where this one stopped.
    pub async fn delete(&self, key: &GenerationKey, record: &RecordRow) -> Result<(), Error> {
        if let Some(partition) = &record.idempotency {
            self.delete_idempotency(partition, &key.generation).await?;
        }
        self.delete_rows(key).await
    }

    /// After a day the same key may have been used again: then the row is that generation's.
    async fn delete_idempotency(&self, partition: &str, generation: &GenerationId) -> Result<(), Error> {
        let delete = self.dynamodb.delete_item().table_name(&self.table).set_key(Some(row_key(partition, rows::IDEMPOTENCY)));
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

    /// Deletes every row in a generation's partition.
    ///
    /// # Errors
    /// [`Error::Aws`]; the same call goes on where this one stopped.
    pub async fn delete_rows(&self, key: &GenerationKey) -> Result<(), Error> {
        let query = query_partition(&self.dynamodb, &self.table, key.partition()).projection_expression("pk, sk");
        // As it is now: what an older view lacks would stay for good.
        let page = query.consistent_read(true).send().await.map_err(aws_error("dynamodb Query"))?;
        self.meter.read(page.consumed_capacity());
        // The record goes last: while it is there, the generation can be purged again.
        let mut items = page.items.unwrap_or_default();
        items.sort_by_key(|item| item.get("sk").and_then(|sk| sk.as_s().ok()).is_some_and(|sk| sk == rows::RECORD));
        for item in items {
            self.delete_row(item).await?;
        }
        Ok(())
    }

    async fn delete_row(&self, key: Item) -> Result<(), Error> {
        let delete = self.dynamodb.delete_item().table_name(&self.table).set_key(Some(key));
        let deleted = delete
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(aws_error("dynamodb DeleteItem"))?;
        self.meter.wrote(deleted.consumed_capacity());
        Ok(())
    }

    async fn get_all(&self, partitions: &[String]) -> Result<Vec<RecordRow>, Error> {
        let mut found: HashMap<String, RecordRow> = HashMap::with_capacity(partitions.len());
        let mut wanted: Vec<Item> = partitions.iter().map(|pk| row_key(pk, rows::RECORD)).collect();
        while !wanted.is_empty() {
            let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).build();
            let keys = keys.map_err(|error| unexpected("dynamodb BatchGetItem", error))?;
            let batch = self.dynamodb.batch_get_item().request_items(&self.table, keys);
            let answer = batch
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(aws_error("dynamodb BatchGetItem"))?;
            self.meter.read(answer.consumed_capacity().first());
            for item in answer.responses.into_iter().flatten().flat_map(|(_, items)| items) {
                let record: RecordRow =
                    serde_dynamo::from_item(item).map_err(|error| unexpected("dynamodb BatchGetItem", error))?;
                found.insert(record.pk.clone(), record);
            }
            wanted = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, keys)| keys.keys).collect();
        }
        Ok(partitions.iter().filter_map(|pk| found.remove(pk)).collect())
    }

    pub(in crate::aws) async fn get_row<R: DeserializeOwned>(&self, pk: &str, sk: &str) -> Result<Option<R>, Error> {
        let get = self.dynamodb.get_item().table_name(&self.table).set_key(Some(row_key(pk, sk))).consistent_read(true);
        let got =
            get.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.map_err(aws_error("dynamodb GetItem"))?;
        self.meter.read(got.consumed_capacity());
        got.item.map(serde_dynamo::from_item).transpose().map_err(|error| unexpected("dynamodb GetItem", error))
    }

    pub(in crate::aws) async fn put<R: Serialize>(&self, row: &R) -> Result<(), Error> {
        let item = serde_dynamo::to_item(row).map_err(|error| unexpected("dynamodb PutItem", error))?;
        let put = self.dynamodb.put_item().table_name(&self.table).set_item(Some(item));
        let answer =
            put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.map_err(aws_error("dynamodb PutItem"))?;
        self.meter.wrote(answer.consumed_capacity());
        Ok(())
    }

    /// Puts a row where `condition` holds. `Some`: it did not, and this is what lies there.
    async fn put_new<R: Serialize>(&self, row: &R, condition: &str, value: Option<(&str, i64)>) -> Result<Option<Item>, Error> {
        let item = serde_dynamo::to_item(row).map_err(|error| unexpected("dynamodb PutItem", error))?;
        let mut put = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if let Some((name, number)) = value {
            put = put.expression_attribute_values(name, AttributeValue::N(number.to_string()));
        }
        match put.send().await {
            Ok(answer) => {
                self.meter.wrote(answer.consumed_capacity());
                Ok(None)
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    self.meter.wrote(None);
                    Ok(Some(failed.item().cloned().unwrap_or_default()))
                }
                _ => Err(aws_error("dynamodb PutItem")(error)),
            },
        }
    }
}

fn idempotency_partition(organization: &Organization, key_sha256: &str) -> String {
    format!("{organization}#idempotency#{key_sha256}")
}

pub(in crate::aws) fn row_key(pk: &str, sk: &str) -> Item {
    [("pk".to_owned(), AttributeValue::S(pk.to_owned())), ("sk".to_owned(), AttributeValue::S(sk.to_owned()))].into()
}

pub(in crate::aws) fn partitions(items: &[Item]) -> Vec<String> {
    items.iter().filter_map(|item| item.get("pk")?.as_s().ok().cloned()).collect()
}
