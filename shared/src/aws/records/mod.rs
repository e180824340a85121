//! The records table: what lasts. [`key`] lists every kind of row; each noun has a file with its rows and its `impl Records`.

mod acceptance;
mod api_keys;
mod attached;
mod audit;
mod batches;
mod documents;
mod endpoints;
mod entities;
mod generation;
mod idempotency;
mod imports;
pub(in crate::aws) mod key;
mod listing;
mod migrations;
mod notifications;
mod open;
mod runs;
mod statistics;
mod subjects;
mod sweeps;
mod transactions;
mod usage;

pub use acceptance::{AcceptChange, AcceptWritten};
pub use api_keys::{KeyHashRow, KeyRow};
pub use audit::AuditPage;
pub use batches::{BatchPage, BatchRow, ItemRow, NewItem, StepWritten};
pub use documents::{DocumentHead, DocumentPage, DocumentVersionRow};
pub use endpoints::DeliveryPage;
pub use entities::{ENTITIES_AT_ONCE, EntitiesWritten, EntityChange, EntityPage, IMPORTED_AT_ONCE};
pub use generation::{Created, IssueError, Outcome, PLAIN_REQUEST_BYTES_MAX, RecordRow, ValidationIssue};
pub use idempotency::IdempotencyClaim;
pub use imports::{ImportChange, ImportWritten, OpenImport};
pub use key::INDEXES;
pub use listing::ListPage;
pub use migrations::{ImportedRow, MigrationLock, MigrationRow, MigrationStatus, RecordsPage};
pub use notifications::{InboxPage, Settings};
pub use open::OpenJobs;
pub use runs::{CreatedRun, EntryRow, PinnedPipeline, PlanWritten, PlannedRun, RunPage, RunRow, StepRow};
pub use subjects::{Added, SubjectDeletion, SubjectPage, VERSIONS_DELETED_AT_ONCE, VersionSource};

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure, Update};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::key::Key;
use super::clients::{aws_error, unexpected};
use super::meter::Meter;
use super::tables::{Item, update_where};
use crate::error::Error;

/// The condition of a put that must not replace a row.
const IS_NEW: &str = "attribute_not_exists(pk)";

/// The records table.
#[derive(Debug, Clone)]
pub struct Records {
    pub(super) dynamodb: Client,
    pub(super) table: String,
    pub(crate) meter: Meter,
}

impl Records {
    /// Over `table`.
    #[must_use]
    pub const fn new(dynamodb: Client, table: String, meter: Meter) -> Self {
        Self { dynamodb, table, meter }
    }

    /// A row as it is stored now.
    async fn get_row<R: DeserializeOwned>(&self, key: Key<'_>) -> Result<Option<R>, Error> {
        let get = self.dynamodb.get_item().table_name(&self.table).set_key(Some(key.item())).consistent_read(true);
        let got =
            get.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.map_err(aws_error("dynamodb GetItem"))?;
        self.meter.read(got.consumed_capacity());
        got.item.map(serde_dynamo::from_item).transpose().map_err(|error| unexpected("dynamodb GetItem", error))
    }

    /// Stores a row, in place of any other with its key.
    async fn put<R: Serialize>(&self, key: Key<'_>, row: &R) -> Result<(), Error> {
        let put = self.dynamodb.put_item().table_name(&self.table).set_item(Some(item(key, row)?));
        let answer =
            put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.map_err(aws_error("dynamodb PutItem"))?;
        self.meter.wrote(answer.consumed_capacity());
        Ok(())
    }

    /// Stores a row where `condition`, which may use the number `:now`, holds. `Some`: it does not, and this row is stored.
    async fn put_where<R: Serialize + DeserializeOwned>(
        &self,
        key: Key<'_>,
        row: &R,
        condition: &str,
        now: Option<i64>,
    ) -> Result<Option<R>, Error> {
        let put = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(key, row)?))
            .condition_expression(condition)
            .set_expression_attribute_values(now.map(|now| [(":now".to_owned(), AttributeValue::N(now.to_string()))].into()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let error = match put.send().await {
            Ok(answer) => {
                self.meter.wrote(answer.consumed_capacity());
                return Ok(None);
            }
            Err(error) => error,
        };
        let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
            return Err(aws_error("dynamodb PutItem")(error));
        };
        self.meter.wrote(None);
        let held = failed.item().cloned().unwrap_or_default();
        serde_dynamo::from_item(held).map(Some).map_err(|error| unexpected("dynamodb PutItem", error))
    }

    /// Deletes a row, if there is one.
    async fn delete_row(&self, key: Key<'_>) -> Result<(), Error> {
        let delete = self.dynamodb.delete_item().table_name(&self.table).set_key(Some(key.item()));
        let deleted = delete.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        self.meter.wrote(deleted.map_err(aws_error("dynamodb DeleteItem"))?.consumed_capacity());
        Ok(())
    }

    /// The put of a row, for a transaction; `condition` as in [`Self::put_where`].
    fn put_in_transaction<R: Serialize>(&self, key: Key<'_>, row: &R, condition: Option<&str>) -> Result<Put, Error> {
        let put = Put::builder().table_name(&self.table).set_item(Some(item(key, row)?));
        let put = put.set_condition_expression(condition.map(str::to_owned)).build();
        put.map_err(|error| unexpected("dynamodb TransactWriteItems", error))
    }

    /// The update that sets `fields` of a row where `condition` holds, for a transaction. `rest` follows the `SET`; it and `condition` may
    /// use `names` and `values`.
    fn set_in_transaction<const N: usize, const V: usize>(
        &self,
        key: Key<'_>,
        fields: Item,
        condition: &str,
        rest: &str,
        names: [(&str, &str); N],
        values: [(&str, AttributeValue); V],
    ) -> Result<Update, Error> {
        let mut set = SetFields::new(fields);
        set.names.extend(names.map(|(name, of)| (name.to_owned(), of.to_owned())));
        set.values.extend(values.map(|(name, value)| (name.to_owned(), value)));
        let update = Update::builder().table_name(&self.table).set_key(Some(key.item())).condition_expression(condition);
        let update = update.update_expression(format!("{} {rest}", set.sets).trim_end().to_owned());
        let update = update.set_expression_attribute_names(Some(set.names)).set_expression_attribute_values(Some(set.values));
        update.build().map_err(|error| unexpected("dynamodb UpdateItem", error))
    }

    /// Applies one update by itself. `false`: its condition does not hold.
    async fn update_alone(&self, update: Update) -> Result<bool, Error> {
        let single = self
            .dynamodb
            .update_item()
            .table_name(update.table_name)
            .set_key(Some(update.key))
            .set_condition_expression(update.condition_expression)
            .update_expression(update.update_expression)
            .set_expression_attribute_names(update.expression_attribute_names)
            .set_expression_attribute_values(update.expression_attribute_values)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        update_where(single, &self.meter).await
    }
}

/// The update of the row of `key` that sets `fields`, for a transaction or alone. Field names stand in the expression as `#n0`, `#n1` …:
/// many are reserved words.
struct SetFields {
    sets: String,
    names: HashMap<String, String>,
    values: Item,
}

impl SetFields {
    fn new(fields: Item) -> Self {
        let (mut names, mut values, mut sets) = (HashMap::new(), Item::new(), Vec::new());
        for (number, (name, value)) in fields.into_iter().enumerate() {
            sets.push(format!("#n{number} = :v{number}"));
            names.insert(format!("#n{number}"), name);
            values.insert(format!(":v{number}"), value);
        }
        Self { sets: format!("SET {}", sets.join(", ")), names, values }
    }
}

/// A row under its key. Whatever the row itself has under the names of a key is replaced. An absent field is no attribute: under the name
/// of an index's key, a NULL is refused.
fn item<R: Serialize>(key: Key<'_>, row: &R) -> Result<Item, Error> {
    let mut item: Item = serde_dynamo::to_item(row).map_err(|error| unexpected("dynamodb item", error))?;
    item.retain(|_, value| !value.is_null());
    item.extend(key.item());
    Ok(item)
}
