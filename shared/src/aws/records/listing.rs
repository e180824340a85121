//! Many generations at once: pages for callers, and what retention looks for.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};

use super::key::{self, BY_ORGANIZATION, ISSUES, Key};
use super::{RecordRow, Records};
use crate::aws::clients::{aws_error, unexpected};
use crate::aws::tables::{Item, UnprocessedWaits, query_page};
use crate::error::Error;
use crate::generation::list_query::{ListQuery, Order};
use crate::ids::{GenerationId, GenerationKey, Organization};

/// The last moment that an id can have, in milliseconds (48 bits).
const LAST_MS: i64 = (1 << 48) - 1;
pub(super) const BATCH_GET: &str = "dynamodb BatchGetItem";
/// Items of one `BatchGetItem` (DynamoDB's limit).
pub(super) const BATCH_GET_MAX: usize = 100;

/// A page of generations.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// Their records.
    pub records: Vec<RecordRow>,
    /// Whether there are more.
    pub has_more: bool,
}

impl Records {
    /// An organization's generations of the time that `query` selects, in its order, those behind `after` if it is given.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn list(
        &self,
        organization: &Organization,
        after: Option<&GenerationId>,
        query: &ListQuery,
        limit: usize,
    ) -> Result<ListPage, Error> {
        let is_ascending = query.order == Order::Ascending;
        let (mut from, mut to) =
            (GenerationId::first_at(query.since_ms.unwrap_or(0)), GenerationId::first_at(query.until_ms.unwrap_or(LAST_MS)));
        match after {
            Some(after) if is_ascending => from = from.max(after.clone()),
            Some(after) => to = to.min(after.clone()),
            None => {}
        }
        if from > to {
            return Ok(ListPage::default());
        }
        // `BETWEEN` includes both bounds; `after` and the first id at `until` are not part of the page.
        let page = self
            .query_generations(organization, "organization = :organization AND generation BETWEEN :from AND :to")
            .expression_attribute_values(":from", AttributeValue::S(from.to_string()))
            .expression_attribute_values(":to", AttributeValue::S(to.to_string()))
            .scan_index_forward(is_ascending)
            .limit(i32::try_from(limit + 2).unwrap_or(i32::MAX));
        let page = query_page(page, &self.meter).await?;
        let mut keys: Vec<GenerationKey> = generations(page.items()).collect();
        keys.retain(|key| Some(&key.generation) != after && key.generation != to);
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        Ok(ListPage { records: self.find_all(&keys).await?, has_more })
    }

    /// An organization's generations from before `before`, oldest first, up to `limit`, those newer than `after` if it is given.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn older(
        &self,
        organization: &Organization,
        after: Option<&GenerationId>,
        before: &GenerationId,
        limit: i32,
    ) -> Result<Vec<GenerationId>, Error> {
        // `BETWEEN` includes both bounds, which are not part of the page.
        let from = after.map_or_else(|| GenerationId::first_at(0), Clone::clone);
        let query = self
            .query_generations(organization, "organization = :organization AND generation BETWEEN :from AND :before")
            .expression_attribute_values(":from", AttributeValue::S(from.to_string()))
            .expression_attribute_values(":before", AttributeValue::S(before.to_string()))
            .limit(limit);
        let page = query_page(query, &self.meter).await?;
        let ids = generations(page.items()).map(|key| key.generation);
        Ok(ids.filter(|id| Some(id) != after && id != before).collect())
    }

    /// Generations of an organization that have a request or a validation issue. Reads the whole table.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn with_rows(&self, organization: &Organization) -> Result<BTreeSet<GenerationId>, Error> {
        let of_any = GenerationKey::new(organization.clone(), GenerationId::first_at(0));
        let mut pages = self
            .dynamodb
            .scan()
            .table_name(&self.table)
            .filter_expression("begins_with(pk, :organization) AND (sk = :request OR begins_with(sk, :issues))")
            .expression_attribute_values(":organization", AttributeValue::S(key::prefix(organization)))
            .expression_attribute_values(":request", AttributeValue::S(Key::Request(&of_any).sort()))
            .expression_attribute_values(":issues", AttributeValue::S(ISSUES.into()))
            .projection_expression("pk, sk")
            .into_paginator()
            .send();
        let mut found = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_error("dynamodb Scan"))?;
            found.extend(generations(page.items()).map(|key| key.generation));
        }
        Ok(found)
    }

    fn query_generations(&self, organization: &Organization, condition: &str) -> QueryFluentBuilder {
        let query = self.dynamodb.query().table_name(&self.table).index_name(BY_ORGANIZATION);
        let query = query.key_condition_expression(condition);
        let query = query.expression_attribute_values(":organization", AttributeValue::S(organization.to_string()));
        query.return_consumed_capacity(ReturnConsumedCapacity::Total)
    }

    /// The records with these keys, in their order, without those that are gone.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn find_all(&self, keys: &[GenerationKey]) -> Result<Vec<RecordRow>, Error> {
        let mut found: HashMap<GenerationKey, RecordRow> = HashMap::with_capacity(keys.len());
        for some in keys.chunks(BATCH_GET_MAX) {
            for item in self.get_items(some.iter().map(|key| Key::Record(key).item()).collect()).await? {
                let record: RecordRow = serde_dynamo::from_item(item).map_err(|error| unexpected(BATCH_GET, error))?;
                found.insert(record.key(), record);
            }
        }
        Ok(keys.iter().filter_map(|key| found.remove(key)).collect())
    }

    /// The rows with these keys, at most [`BATCH_GET_MAX`], in any order, without those that are gone. Eventually consistent.
    pub(super) async fn get_items(&self, wanted: Vec<Item>) -> Result<Vec<Item>, Error> {
        self.get_items_at(wanted, false).await
    }

    /// The same, as they are stored now where `is_consistent`.
    pub(super) async fn get_items_at(&self, mut wanted: Vec<Item>, is_consistent: bool) -> Result<Vec<Item>, Error> {
        let mut found = Vec::with_capacity(wanted.len());
        let mut waits = UnprocessedWaits::new(BATCH_GET);
        while !wanted.is_empty() {
            let batch = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(is_consistent).build();
            let batch = batch.map_err(|error| unexpected(BATCH_GET, error))?;
            let get = self.dynamodb.batch_get_item().request_items(&self.table, batch);
            let answer =
                get.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.map_err(aws_error(BATCH_GET))?;
            self.meter.read(answer.consumed_capacity().first());
            found.extend(answer.responses.into_iter().flatten().flat_map(|(_, items)| items));
            wanted = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, keys)| keys.keys).collect();
            waits.sleep(wanted.len()).await?;
        }
        Ok(found)
    }
}

/// The generations that have these rows.
pub(super) fn generations(items: &[Item]) -> impl Iterator<Item = GenerationKey> {
    items.iter().filter_map(|item| GenerationKey::from_partition(item.get("pk")?.as_s().ok()?).ok())
}
