//! The buffer table: chunks, appended by compare-and-set, and meta.

pub(in crate::aws) mod packing;
pub(in crate::aws) mod rows;
pub(in crate::aws) mod size;
mod sweeps;

pub use packing::Packing;
pub use rows::{ChunkBytes, MetaRow, chunk_from_item, chunk_item_bytes, chunk_to_item};
pub use size::write_units;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure};
use serde_dynamo::{Item, Items};

use self::rows::ChunkRow;
use super::clients::{aws_error, unexpected};
use super::meter::Meter;
use super::tables::{BATCH_WRITE_MAX, delete_all, query_page, query_partition, touched, update_where};
use crate::clock::Clock;
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::log::chunk::Chunk;

/// Text of one page of chunks, above which it ends.
const PAGE_TEXT_BYTES: u64 = 8 * 1024 * 1024;

/// The table of chunks and meta. Expired items count as absent, whether `DynamoDB` has deleted them yet or not.
#[derive(Debug, Clone)]
pub struct Buffer {
    pub(in crate::aws) dynamodb: Client,
    pub(in crate::aws) table: String,
    pub(in crate::aws) clock: Clock,
    pub(crate) meter: Meter,
}

/// The result of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The chunk is in its slot: put there now, or by an earlier try whose answer was lost.
    Stored,
    /// Another writer holds the slot.
    Lost,
}

/// A chunk as it is stored: encoded once, however often it is tried.
#[derive(Debug, Clone)]
pub struct ChunkItem {
    item: HashMap<String, AttributeValue>,
    writer: String,
    /// How its events are compressed, if they are.
    pub packing: Option<Packing>,
}

impl ChunkItem {
    /// The item of `chunk`, which expires at `expires_at`, epoch seconds.
    ///
    /// # Errors
    /// [`Error::Aws`]: it cannot be written as an item. No such chunk is known.
    pub fn new(key: &GenerationKey, chunk: &Chunk, expires_at: i64) -> Result<Self, Error> {
        let (item, packing) = rows::chunk_item(key, chunk, expires_at)?;
        Ok(Self { item: item.into(), writer: chunk.writer.clone(), packing })
    }
}

/// Some chunks of a log, in order.
#[derive(Debug, Clone, Default)]
pub struct ChunkPage {
    /// The chunks, in slot order.
    pub chunks: Vec<Chunk>,
    /// Where the next page begins; `None` at the end.
    pub next_slot: Option<u64>,
    /// The write units that storing them cost, by the sizes of their items.
    pub write_units: u64,
}

impl ChunkPage {
    /// Whether a chunk is missing between `slot`, from which the page was read, and its end: the buffer is being deleted.
    #[must_use]
    pub fn is_torn(&self, slot: u64) -> bool {
        let mut due = slot;
        self.chunks.iter().any(|chunk| std::mem::replace(&mut due, chunk.last_seq() + 1) != chunk.first_seq)
    }
}

/// The log's companion item.
pub type Meta = MetaRow;

impl Buffer {
    /// Over `table`; `clock` decides what has expired.
    #[must_use]
    pub const fn new(dynamodb: Client, table: String, clock: Clock, meter: Meter) -> Self {
        Self { dynamodb, table, clock, meter }
    }

    /// Puts a chunk into its slot, if that is free.
    ///
    /// # Errors
    /// [`Error::Aws`]: it is not known whether the chunk was stored. The same append may be tried again.
    pub async fn append(&self, key: &GenerationKey, chunk: &Chunk, expires_at: i64) -> Result<Appended, Error> {
        self.append_item(&ChunkItem::new(key, chunk, expires_at)?).await
    }

    /// The same with a chunk that has been encoded.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub async fn append_item(&self, chunk: &ChunkItem) -> Result<Appended, Error> {
        let put = self.dynamodb.put_item().table_name(&self.table).set_item(Some(chunk.item.clone()));
        let answer = put
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match answer {
            Ok(put) => {
                self.meter.wrote(put.consumed_capacity());
                Ok(Appended::Stored)
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    self.meter.wrote(None);
                    Ok(whose(failed.item(), &chunk.writer))
                }
                _ => Err(aws_error("dynamodb PutItem")(error)),
            },
        }
    }

    /// The chunks from `slot` on (which must be the first `seq` of a chunk), as many as one query page holds: 1 MB.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn chunks(&self, key: &GenerationKey, slot: u64) -> Result<ChunkPage, Error> {
        self.chunk_page(key, slot, true).await
    }

    /// The same at half the price, from a view that may lag: it may lack the newest chunks, and seldom one between others.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn recent_chunks(&self, key: &GenerationKey, slot: u64) -> Result<ChunkPage, Error> {
        self.chunk_page(key, slot, false).await
    }

    async fn chunk_page(&self, key: &GenerationKey, slot: u64, is_consistent: bool) -> Result<ChunkPage, Error> {
        let query = self.slots(key, rows::slot(slot), rows::AFTER_SLOTS.into()).consistent_read(is_consistent);
        let page = query_page(query, &self.meter).await?;
        let mut more = page.last_evaluated_key.is_some();
        let items: Vec<HashMap<_, _>> = Items::from(page.items.unwrap_or_default()).into();
        let (mut chunks, mut text_bytes, mut write_units) = (Vec::with_capacity(items.len()), 0, 0);
        for item in items {
            // A megabyte of items may unpack to a thousand.
            if text_bytes >= PAGE_TEXT_BYTES {
                more = true;
                break;
            }
            write_units += size::write_units(size::item_bytes(&item) as u64);
            if let Some(chunk) = self.live_chunk(item)? {
                text_bytes += chunk.text_bytes();
                chunks.push(chunk);
            }
        }
        let next_slot = chunks.last().filter(|_| more).map(|last: &Chunk| last.last_seq() + 1);
        Ok(ChunkPage { chunks, next_slot, write_units })
    }

    /// The newest chunk, if there is any, for one read unit or a few.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn newest(&self, key: &GenerationKey) -> Result<Option<Chunk>, Error> {
        self.last_before(key, rows::AFTER_SLOTS.into()).await
    }

    /// The newest chunk and meta, read consistently by one query: meta sorts directly behind the chunks. Costs one read unit per 4 KB of
    /// both together.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn newest_and_meta(&self, key: &GenerationKey) -> Result<(Option<Chunk>, Option<Meta>), Error> {
        let query = self.slots(key, rows::slot(0), rows::META.into()).scan_index_forward(false).limit(2);
        let mut items = query_page(query, &self.meter).await?.items.unwrap_or_default().into_iter().peekable();
        let is_meta = |item: &HashMap<_, _>| item.get("sk").is_some_and(|key| *key == AttributeValue::S(rows::META.into()));
        let meta = items.next_if(is_meta).map_or(Ok(None), |item| self.live_meta(item))?;
        let newest = items.next().map_or(Ok(None), |item| self.live_chunk(item))?;
        Ok((newest, meta))
    }

    /// The chunk that holds event `seq`, or the newest before it.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn holding(&self, key: &GenerationKey, seq: u64) -> Result<Option<Chunk>, Error> {
        self.last_before(key, rows::slot(seq)).await
    }

    async fn last_before(&self, key: &GenerationKey, sort_key: String) -> Result<Option<Chunk>, Error> {
        let query = self.slots(key, rows::slot(0), sort_key).scan_index_forward(false).limit(1);
        let page = query_page(query, &self.meter).await?;
        let item = page.items.unwrap_or_default().pop();
        item.map_or(Ok(None), |item| self.live_chunk(item))
    }

    /// The chunk of an item. `None`: it has expired, or its sort key is no slot.
    fn live_chunk(&self, item: impl Into<Item>) -> Result<Option<Chunk>, Error> {
        let row: ChunkRow = serde_dynamo::from_item(item.into()).map_err(|error| unexpected("dynamodb Query", error))?;
        if row.expires_at > self.now_seconds() { row.into_chunk() } else { Ok(None) }
    }

    /// Meta, if there is any. Eventually consistent, at half a read unit: a claim fails if it was stale.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn meta(&self, key: &GenerationKey) -> Result<Option<Meta>, Error> {
        self.get_meta(key, false).await
    }

    /// Meta, read consistently: a writer that has just handed over must not look alive.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn meta_now(&self, key: &GenerationKey) -> Result<Option<Meta>, Error> {
        self.get_meta(key, true).await
    }

    async fn get_meta(&self, key: &GenerationKey, is_consistent: bool) -> Result<Option<Meta>, Error> {
        let get = self
            .dynamodb
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key.partition()))
            .key("sk", AttributeValue::S(rows::META.into()))
            .consistent_read(is_consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let got = get.send().await.map_err(aws_error("dynamodb GetItem"))?;
        self.meter.read(got.consumed_capacity());
        got.item.map_or(Ok(None), |item| self.live_meta(item))
    }

    /// Meta of its item. `None`: it has expired.
    fn live_meta(&self, item: impl Into<Item>) -> Result<Option<Meta>, Error> {
        let meta: Meta = serde_dynamo::from_item(item.into()).map_err(|error| unexpected("dynamodb meta", error))?;
        Ok(Some(meta).filter(|meta| meta.expires_at > self.now_seconds()))
    }

    /// Begins an attempt, or gives one up: writes `next` if meta is still as it was `seen`, and returns what is stored then, by which a
    /// cancel and readers are known that came before. `None`: another writer was first.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn claim(&self, key: &GenerationKey, seen: Option<&Meta>, next: &Meta) -> Result<Option<Meta>, Error> {
        // A response that the next attempt does not read on is none of this generation's any more.
        let (kept, left) = if next.upstream.is_some() { (", upstream = :upstream", "") } else { ("", ", upstream") };
        let update = self
            .update_meta(key)
            .update_expression(format!(
                "SET attempt = :attempt, hand_overs = :hand_overs, refused = :refused, writer = :writer, lease_until = :lease, \
                 expires_at = :expires{kept} REMOVE sweeps, swept_at{left}"
            ))
            .set_expression_attribute_values(
                next.upstream.clone().map(|id| [(":upstream".to_owned(), AttributeValue::S(id))].into_iter().collect()),
            )
            .expression_attribute_values(":hand_overs", AttributeValue::N(next.hand_overs.to_string()))
            .expression_attribute_values(":refused", AttributeValue::N(next.refused.to_string()))
            .expression_attribute_values(":attempt", AttributeValue::N(next.attempt.to_string()))
            .expression_attribute_values(":writer", AttributeValue::S(next.writer.clone()))
            .expression_attribute_values(":lease", AttributeValue::N(next.lease_until.to_string()))
            .expression_attribute_values(":expires", AttributeValue::N(next.expires_at.to_string()))
            .return_values(ReturnValue::AllNew);
        let update = match seen.filter(|seen| seen.attempt > 0) {
            // A claim whose answer was lost succeeds when it is retried.
            Some(seen) => update
                .condition_expression("attempt = :seen OR writer = :writer")
                .expression_attribute_values(":seen", AttributeValue::N(seen.attempt.to_string())),
            None => update
                .condition_expression("attribute_not_exists(attempt) OR writer = :writer OR expires_at <= :now")
                .expression_attribute_values(":now", AttributeValue::N(self.now_seconds().to_string())),
        };
        let stored = touched(update, &self.meter).await?;
        stored.map(|item| serde_dynamo::from_item(item).map_err(|error| unexpected("dynamodb meta", error))).transpose()
    }

    /// Extends the lease of `held`. `false`: another writer holds the lease, or none. A late renewal changes nothing.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn renew(&self, key: &GenerationKey, held: &Meta, lease_until: i64) -> Result<bool, Error> {
        let update = self
            .update_meta(key)
            .update_expression("SET lease_until = :lease")
            .condition_expression("writer = :writer")
            .expression_attribute_values(":lease", AttributeValue::N(lease_until.to_string()))
            .expression_attribute_values(":writer", AttributeValue::S(held.writer.clone()))
            .return_values(ReturnValue::None);
        update_where(update, &self.meter).await
    }

    /// Records on meta which response of the provider the writer that holds `held` reads. `false`: another writer holds the lease.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn record_upstream(&self, key: &GenerationKey, held: &Meta, response_id: &str) -> Result<bool, Error> {
        let update = self
            .update_meta(key)
            .update_expression("SET upstream = :upstream")
            .condition_expression("writer = :writer")
            .expression_attribute_values(":upstream", AttributeValue::S(response_id.to_owned()))
            .expression_attribute_values(":writer", AttributeValue::S(held.writer.clone()))
            .return_values(ReturnValue::None);
        update_where(update, &self.meter).await
    }

    /// Records on meta that a reader watches until `until_ms`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn watch(&self, key: &GenerationKey, until_ms: i64, expires_at: i64) -> Result<(), Error> {
        self.set_on_meta(key, "watched_until", AttributeValue::N(until_ms.to_string()), expires_at).await
    }

    /// Records on meta that the caller has cancelled the generation.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn request_cancel(&self, key: &GenerationKey, expires_at: i64) -> Result<(), Error> {
        self.set_on_meta(key, "cancel_requested", AttributeValue::Bool(true), expires_at).await
    }

    async fn set_on_meta(&self, key: &GenerationKey, name: &str, value: AttributeValue, expires_at: i64) -> Result<(), Error> {
        let update = self
            .update_meta(key)
            .update_expression("SET #name = :value, expires_at = if_not_exists(expires_at, :expires)")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value)
            .expression_attribute_values(":expires", AttributeValue::N(expires_at.to_string()));
        let updated = update.send().await.map_err(aws_error("dynamodb UpdateItem"))?;
        self.meter.wrote(updated.consumed_capacity());
        Ok(())
    }

    /// A consistent query of the chunks between two sort keys.
    fn slots(&self, key: &GenerationKey, from: String, to: String) -> QueryFluentBuilder {
        let query = query_partition(&self.dynamodb, &self.table, key.partition());
        let query = query.key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to").consistent_read(true);
        query
            .expression_attribute_values(":from", AttributeValue::S(from))
            .expression_attribute_values(":to", AttributeValue::S(to))
    }

    pub(in crate::aws) fn update_meta(&self, key: &GenerationKey) -> UpdateItemFluentBuilder {
        let update = self.dynamodb.update_item().table_name(&self.table).key("pk", AttributeValue::S(key.partition()));
        update.key("sk", AttributeValue::S(rows::META.into())).return_consumed_capacity(ReturnConsumedCapacity::Total)
    }

    /// Deletes everything of a log, chunks and meta, and returns how many items that were. Throttled deletions are retried.
    ///
    /// # Errors
    /// [`Error::Aws`]; what was deleted stays deleted, and the same call may be made again.
    pub async fn delete(&self, key: &GenerationKey) -> Result<u64, Error> {
        // Consistent: an item that an older view lacks would stay until it expires.
        let query = query_partition(&self.dynamodb, &self.table, key.partition()).projection_expression("pk, sk");
        let query = query.consistent_read(true).limit(BATCH_WRITE_MAX.into());
        let mut deleted = 0;
        loop {
            let keys = query_page(query.clone(), &self.meter).await?.items.unwrap_or_default();
            if keys.is_empty() {
                return Ok(deleted);
            }
            delete_all(&self.dynamodb, &self.table, &keys, &self.meter).await?;
            deleted += keys.len() as u64;
        }
    }

    fn now_seconds(&self) -> i64 {
        self.clock.now_ms() / 1_000
    }
}

/// Whether the slot holds this very chunk: a writer never writes two different chunks into one slot.
fn whose(item: Option<&HashMap<String, AttributeValue>>, own: &String) -> Appended {
    let writer = item.and_then(|item| item.get("writer")).and_then(|writer| writer.as_s().ok());
    if writer == Some(own) { Appended::Stored } else { Appended::Lost }
}
