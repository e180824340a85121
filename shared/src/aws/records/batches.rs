//! A batch's rows: its header, and two for each item: what changes of it, and its request. A step writes all that it changes in one
//! transaction, on the condition that the header has the revision that the step was planned from: so it is the only condition that any of
//! them needs.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnConsumedCapacity, TransactWriteItem};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::generation::RequestRow;
use super::key::{self, BY_ORGANIZATION, ITEM_REQUESTS, ITEMS, Key};
use super::listing::{BATCH_GET, BATCH_GET_MAX};
use super::transactions::{IntoItem, Transacted};
use super::{IS_NEW, RecordRow, Records, item};
use crate::aws::clients::unexpected;
use crate::aws::tables::{BATCH_WRITE_MAX, Item, delete_all, put_batch, query_all, query_page, query_partition};
use crate::batches::{self, ItemStatus, Progress};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::generation::Failure;
use crate::generation::usage::Usage;
use crate::ids::{BatchId, BatchKey, KeyId, Organization, SubjectId};
use crate::notifications::Notification;
use crate::notifications::notify::Notify;
use crate::quota::DayUsage;

/// Items of a new batch that are written side by side.
const PUTS: usize = 32;
/// Calls for the requests of a new batch that are made side by side.
const BATCHES_AT_ONCE: usize = 4;

/// A batch's header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchRow {
    /// Partition key of the index `by_organization`: not the organization itself, under which its generations are listed.
    organization: String,
    /// Its sort key, which the index calls so.
    generation: BatchId,
    /// Partition key of the sparse index `by_open`, until every item has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<String>,
    /// Its sort key. Present for as long as `open` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_at: Option<String>,
    /// The caller's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// When the first item was started, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When the last item ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// When it changed last, RFC 3339.
    pub updated_at: String,
    /// What its steps count.
    #[serde(flatten)]
    pub progress: Progress,
    /// Its items are still being written: nobody has been told of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_preparing: bool,
    /// Items whose subject has a version are skipped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_missing: bool,
    /// The tokens of all tries that have ended.
    #[serde(default)]
    pub usage: Usage,
    /// Micro-dollars of them, as far as their models have a price.
    #[serde(default)]
    pub cost: u64,
    /// The batch whose items it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<BatchId>,
    /// The key that it was started with, by which its items are generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<KeyId>,
    /// The caller's own entries: a JSON object as text.
    pub metadata: String,
    /// Who is told of its end.
    #[serde(default)]
    pub notify: Notify,
}

/// An item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemRow {
    /// What the steps decide by.
    #[serde(flatten)]
    pub item: batches::Item,
    /// The caller's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// What it is to be the next version of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectId>,
    /// When its newest try was started, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Why its newest try that has ended did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// The tokens of its tries that have ended.
    #[serde(default)]
    pub usage: Usage,
    /// Micro-dollars of them.
    #[serde(default)]
    pub cost: u64,
    /// The batch's revision when it changed last.
    #[serde(default)]
    pub changed: u64,
}

/// An item of a new batch.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// The item.
    pub row: ItemRow,
    /// Its request's JSON text, with the batch's defaults; `None`: the bucket has it.
    pub request: Option<String>,
}

/// A page of batches, newest first.
#[derive(Debug, Clone, Default)]
pub struct BatchPage {
    /// Their headers.
    pub batches: Vec<BatchRow>,
    /// The last one that was looked at.
    pub last: Option<BatchId>,
    /// Whether there are more.
    pub has_more: bool,
}

/// The result of [`Records::write_step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepWritten {
    /// All of it is stored.
    Done,
    /// Another step was first: nothing is stored.
    Overtaken,
    /// The day's generations are used up: nothing is stored.
    UsedUp,
}

impl BatchRow {
    /// A new batch, whose items are yet to be written.
    #[must_use]
    pub fn new(key: &BatchKey, progress: Progress, created_ms: i64) -> Self {
        let created_at = rfc3339(created_ms);
        Self {
            organization: key::batches(&key.organization),
            generation: key.batch.clone(),
            open: Some(key::job_shard(&key.organization)),
            open_at: Some(key::open_at(&key.organization, &created_at)),
            name: None,
            updated_at: created_at.clone(),
            created_at,
            started_at: None,
            ended_at: None,
            progress,
            is_preparing: true,
            only_missing: false,
            usage: Usage::default(),
            cost: 0,
            retry_of: None,
            created_by: None,
            metadata: "{}".into(),
            notify: Notify::default(),
        }
    }

    /// The batch's id.
    #[must_use]
    pub const fn id(&self) -> &BatchId {
        &self.generation
    }

    /// Every item has ended: it leaves the index of open batches.
    pub fn end(&mut self, ended_at: String) {
        self.ended_at = Some(ended_at);
        self.open = None;
        self.open_at = None;
    }
}

impl ItemRow {
    /// A new item.
    #[must_use]
    pub fn new(item: batches::Item) -> Self {
        Self {
            item,
            custom_id: None,
            subject: None,
            started_at: None,
            ended_at: None,
            error: None,
            usage: Usage::default(),
            cost: 0,
            changed: 0,
        }
    }
}

impl Records {
    /// Stores a new batch's header. `false`: there is one.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn create_batch(&self, key: &BatchKey, batch: &BatchRow) -> Result<bool, Error> {
        Ok(self.put_where(Key::Batch(key), batch, IS_NEW, None).await?.is_none())
    }

    /// A batch's header as it is stored now.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn batch(&self, key: &BatchKey) -> Result<Option<BatchRow>, Error> {
        self.get_row(Key::Batch(key)).await
    }

    /// Writes a batch's header in place of the one with `revision`. `false`: it has changed since, and nothing is written.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn replace_batch(&self, key: &BatchKey, revision: u64, batch: &BatchRow) -> Result<bool, Error> {
        let put = self.batch_put(key, revision, batch)?;
        Ok(self.transact(vec![put.into_item()]).await? == Transacted::Done)
    }

    /// Stores items of a batch that is being prepared, and their requests. Returns the items as they are stored then: what another call has
    /// stored before stays. The requests expire at `expires_at`, epoch seconds.
    ///
    /// # Errors
    /// [`Error::Aws`]; some may have been stored.
    pub async fn create_items(&self, key: &BatchKey, items: Vec<NewItem>, expires_at: i64) -> Result<Vec<ItemRow>, Error> {
        let mut rows = Vec::with_capacity(items.len());
        let mut requests = Vec::with_capacity(items.len());
        for NewItem { row, request } in items {
            // A skipped item's request is for a repetition of the batch.
            requests.push(item(Key::ItemRequest(key, row.item.index), &RequestRow::new(request, expires_at)?)?);
            rows.push(row);
        }
        // The requests first, and together: another call would put the same ones.
        let chunks: Vec<Vec<Item>> = requests.chunks(BATCH_WRITE_MAX.into()).map(<[Item]>::to_vec).collect();
        let puts = chunks.into_iter().map(|items| put_batch(&self.dynamodb, &self.table, items, &self.meter));
        stream::iter(puts).buffer_unordered(BATCHES_AT_ONCE).try_collect::<()>().await?;
        let puts = rows.into_iter().map(|row| async move {
            let held = self.put_where(Key::BatchItem(key, row.item.index), &row, IS_NEW, None).await?;
            Ok::<_, Error>(held.unwrap_or(row))
        });
        stream::iter(puts).buffered(PUTS).try_collect().await
    }

    /// The request of an item, as [`Self::request`](Records::request) gives that of a generation.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn item_request(&self, key: &BatchKey, index: u32) -> Result<Option<Option<String>>, Error> {
        let row: Option<RequestRow> = self.get_row(Key::ItemRequest(key, index)).await?;
        row.map(RequestRow::into_text).transpose()
    }

    /// Deletes the request of an item.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn delete_item_request(&self, key: &BatchKey, index: u32) -> Result<(), Error> {
        self.delete_row(Key::ItemRequest(key, index)).await
    }

    /// The items with these indexes, as they are stored now, in the order of their indexes.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn items_at(&self, key: &BatchKey, indexes: &[u32]) -> Result<Vec<ItemRow>, Error> {
        let mut found = Vec::with_capacity(indexes.len());
        for some in indexes.chunks(BATCH_GET_MAX) {
            let wanted = some.iter().map(|index| Key::BatchItem(key, *index).item()).collect();
            found.extend(rows_of(self.get_items_at(wanted, true).await?)?);
        }
        found.sort_by_key(|row| row.item.index);
        Ok(found)
    }

    /// The items from `index` on, in their order: at most `limit`, and as many as one query page holds (1 MB). Empty: there are none.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn items_from(&self, key: &BatchKey, index: u32, limit: usize) -> Result<Vec<ItemRow>, Error> {
        let query = self.query_items(key, index).consistent_read(true).limit(i32::try_from(limit).unwrap_or(i32::MAX));
        rows_of(query_page(query, &self.meter).await?.items.unwrap_or_default())
    }

    /// All items with a status, in their order. Reads all items of the batch.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn items_with(&self, key: &BatchKey, statuses: &[ItemStatus]) -> Result<Vec<ItemRow>, Error> {
        let mut rows = rows_of(query_all(self.query_items(key, 0).consistent_read(true), &self.meter).await?)?;
        rows.retain(|row| statuses.contains(&row.item.status));
        Ok(rows)
    }

    fn query_items(&self, key: &BatchKey, from: u32) -> QueryFluentBuilder {
        query_partition(&self.dynamodb, &self.table, key.partition())
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":from", AttributeValue::S(Key::BatchItem(key, from).sort()))
            .expression_attribute_values(":to", AttributeValue::S(format!("{ITEMS}:")))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
    }

    /// An organization's batches, newest first, those behind `after` if it is given. Those that are being prepared are left out.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn batches(&self, organization: &Organization, after: Option<&BatchId>, limit: usize) -> Result<BatchPage, Error> {
        let query = self.dynamodb.query().table_name(&self.table).index_name(BY_ORGANIZATION);
        let condition = if after.is_some() { " AND generation < :after" } else { "" };
        let mut query = query
            .key_condition_expression(format!("organization = :organization{condition}"))
            .expression_attribute_values(":organization", AttributeValue::S(key::batches(organization)))
            .scan_index_forward(false)
            .limit(i32::try_from(limit + 1).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if let Some(after) = after {
            query = query.expression_attribute_values(":after", AttributeValue::S(after.to_string()));
        }
        let page = query_page(query, &self.meter).await?;
        let ids = page.items().iter().filter_map(|item| item.get("generation")?.as_s().ok()?.parse().ok());
        let mut ids: Vec<BatchId> = ids.collect();
        let has_more = ids.len() > limit;
        ids.truncate(limit);
        let keys: Vec<BatchKey> = ids.iter().map(|id| BatchKey::new(organization.clone(), id.clone())).collect();
        let rows = self.get_items(keys.iter().map(|key| Key::Batch(key).item()).collect()).await?;
        let rows: Result<Vec<BatchRow>, _> = serde_dynamo::from_items(rows);
        let mut batches = rows.map_err(|error| unexpected(BATCH_GET, error))?;
        batches.retain(|row| !row.is_preparing);
        batches.sort_unstable_by(|one, other| other.id().cmp(one.id()));
        Ok(BatchPage { batches, last: ids.pop(), has_more })
    }

    /// Deletes the items of a batch and their requests, and the header last. Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn delete_batch(&self, key: &BatchKey) -> Result<(), Error> {
        for beginning in [ITEM_REQUESTS, ITEMS] {
            let rows = query_partition(&self.dynamodb, &self.table, key.partition())
                .key_condition_expression("pk = :pk AND begins_with(sk, :beginning)")
                .expression_attribute_values(":beginning", AttributeValue::S(beginning.into()))
                .projection_expression("pk, sk");
            let rows = query_all(rows.return_consumed_capacity(ReturnConsumedCapacity::Total), &self.meter).await?;
            delete_all(&self.dynamodb, &self.table, &rows, &self.meter).await?;
        }
        self.delete_row(Key::Batch(key)).await
    }

    /// Writes a step: the header in place of the one with `revision`, the items, the generations that it starts, and the notification of the
    /// end. Generations of a bounded day are counted in it.
    ///
    /// # Errors
    /// [`Error::Aws`]: it is not known whether it was stored. The step that is planned next finds out.
    pub async fn write_step(
        &self,
        key: &BatchKey,
        (revision, batch): (u64, &BatchRow),
        items: &[ItemRow],
        children: &[&RecordRow],
        notification: Option<&Notification>,
    ) -> Result<StepWritten, Error> {
        let mut writes: Vec<TransactWriteItem> = vec![self.batch_put(key, revision, batch)?.into_item()];
        for row in items {
            writes.push(self.put_in_transaction(Key::BatchItem(key, row.item.index), row, None)?.into_item());
        }
        for child in children {
            writes.push(self.put_in_transaction(Key::Record(&child.key()), *child, Some(IS_NEW))?.into_item());
        }
        if let Some(notification) = notification {
            writes.push(self.notification_put(notification)?);
        }
        writes.extend(self.count_children(&key.organization, children)?);
        Ok(match self.transact(writes).await? {
            Transacted::Done => StepWritten::Done,
            Transacted::Refused(held) if held.last() == Some(&false) && held.first() == Some(&true) => StepWritten::UsedUp,
            Transacted::Refused(_) => StepWritten::Overtaken,
        })
    }

    fn batch_put(&self, key: &BatchKey, revision: u64, batch: &BatchRow) -> Result<Put, Error> {
        Put::builder()
            .table_name(&self.table)
            .set_item(Some(item(Key::Batch(key), batch)?))
            .condition_expression("revision = :revision")
            .expression_attribute_values(":revision", AttributeValue::N(revision.to_string()))
            .build()
            .map_err(|error| unexpected("dynamodb TransactWriteItems", error))
    }

    /// The count of new generations in their day, where that is bounded.
    pub(super) fn count_children(
        &self,
        organization: &Organization,
        children: &[&RecordRow],
    ) -> Result<Option<TransactWriteItem>, Error> {
        let Some(allowance) = children.first().and_then(|child| child.allowance.as_ref()) else { return Ok(None) };
        let used = DayUsage { generations: children.len() as u64, ..DayUsage::default() };
        // The condition of the count is that of one generation more.
        let most = allowance.generations_per_day.map(|most| (most + 1).saturating_sub(used.generations));
        Ok(Some(self.count(organization, &allowance.day, used, most)?.into_item()))
    }
}

fn rows_of(items: Vec<Item>) -> Result<Vec<ItemRow>, Error> {
    serde_dynamo::from_items(items).map_err(|error| unexpected("dynamodb item", error))
}
