//! Batches and their items as callers see them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::App;
use crate::aws::{BatchRow, ItemRow};
use crate::batches::{BatchStatus, Counts, ItemStatus, ItemView};
use crate::error::Error;
use crate::generation::usage::Usage;
use crate::ids::{BatchId, BatchKey, KeyId, Organization};
use crate::limits::{ITEMS_LIMIT_MAX, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, LIST_SCAN_MAX};
use crate::verbs::generations::list::page_limit;

/// A batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchView {
    /// Its id.
    pub id: BatchId,
    /// Always `batch`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The caller's name of it.
    pub name: Option<String>,
    /// Its status.
    pub status: BatchStatus,
    /// How many items have each status.
    pub counts: CountsView,
    /// Items that have ended, of all: 0 to 100.
    pub percent: u8,
    /// How many items may have a place at once.
    pub concurrency: u32,
    /// Items whose subject had a version were skipped.
    pub only_missing: bool,
    /// The tokens of all tries that have ended.
    pub usage: Usage,
    /// Micro-dollars of them.
    pub cost: u64,
    /// RFC 3339.
    pub created_at: String,
    /// When the first item was started, RFC 3339.
    pub started_at: Option<String>,
    /// When the last item ended, RFC 3339.
    pub ended_at: Option<String>,
    /// The batch whose items it repeats.
    pub retry_of: Option<BatchId>,
    /// The key that it was started with.
    pub created_by: Option<KeyId>,
    /// Grows with each change.
    pub revision: u64,
    /// The caller's own entries.
    pub metadata: Box<RawValue>,
}

/// A page of a batch's items, in the order of their indexes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ItemList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them.
    pub data: Vec<ItemView>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page: the index of the last item of this one.
    pub last_index: Option<u32>,
}

/// A page of batches, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them. With a filter, a page may have fewer than there are, and none.
    pub data: Vec<BatchView>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page: the id of the last batch that was looked at.
    pub last_id: Option<BatchId>,
}

/// Which batches a list has. The default: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchQuery {
    /// Those behind this one.
    pub after: Option<BatchId>,
    /// How many, 1 to [`LIST_LIMIT_MAX`].
    pub limit: Option<usize>,
    /// Those that have ended, or those that have not.
    pub has_ended: Option<bool>,
    /// Those with this name.
    pub name: Option<String>,
}

/// How many items have each status, and how many there are: the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsView {
    /// All items.
    pub total: u32,
    /// By status.
    #[serde(flatten)]
    pub by_status: Counts,
}

const fn object() -> &'static str {
    "batch"
}

const fn list() -> &'static str {
    "list"
}

impl From<ItemRow> for ItemView {
    fn from(row: ItemRow) -> Self {
        Self {
            index: row.item.index,
            custom_id: row.custom_id,
            subject: row.subject,
            status: row.item.status,
            generation: row.item.generation,
            tries: row.item.tries,
            started_at: row.started_at,
            ended_at: row.ended_at,
            error: row.error,
            usage: row.usage,
            cost: row.cost,
        }
    }
}

impl From<BatchRow> for BatchView {
    fn from(row: BatchRow) -> Self {
        let counts = row.progress.counts;
        let ended = counts.total() - counts.pending - counts.running;
        let percent = u64::from(ended) * 100 / u64::from(counts.total().max(1));
        Self {
            id: row.id().clone(),
            object: object(),
            name: row.name,
            status: row.progress.status,
            counts: CountsView { total: counts.total(), by_status: counts },
            percent: u8::try_from(percent).unwrap_or(100),
            concurrency: row.progress.concurrency,
            only_missing: row.only_missing,
            usage: row.usage,
            cost: row.cost,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            retry_of: row.retry_of,
            created_by: row.created_by,
            revision: row.progress.revision,
            metadata: RawValue::from_string(row.metadata).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        }
    }
}

impl App {
    /// A batch.
    ///
    /// # Errors
    /// [`Error::BatchNotFound`]; [`Error::Aws`].
    pub async fn batch(&self, key: &BatchKey) -> Result<BatchView, Error> {
        self.batch_row(key).await.map(BatchView::from)
    }

    /// A page of batches. A filter looks at [`LIST_SCAN_MAX`] batches at most.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: `limit` is out of bounds. [`Error::Aws`].
    pub async fn batches(&self, organization: &Organization, query: &BatchQuery) -> Result<BatchList, Error> {
        let limit = page_limit(query.limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        let mut page = BatchList { object: list(), data: Vec::new(), has_more: true, last_id: query.after.clone() };
        let is_selected = |row: &BatchRow| {
            query.has_ended.is_none_or(|ended| ended == row.progress.status.is_terminal())
                && query.name.as_ref().is_none_or(|name| row.name.as_ref() == Some(name))
        };
        let (has_filter, mut scanned, mut is_empty) = (query.has_ended.is_some() || query.name.is_some(), 0, true);
        while page.has_more && page.data.len() < limit && scanned < LIST_SCAN_MAX {
            let most = if has_filter { LIST_LIMIT_MAX } else { limit - page.data.len() };
            let found = self.records.batches(organization, page.last_id.as_ref(), most).await?;
            is_empty &= found.last.is_none();
            (page.has_more, page.last_id, scanned) = (found.has_more, found.last.or(page.last_id), scanned + most);
            let mut selected = found.batches.into_iter().filter(is_selected);
            page.data.extend(selected.by_ref().take(limit - page.data.len()).map(BatchView::from));
            if selected.next().is_some() {
                page.has_more = true;
                page.last_id = page.data.last().map(|batch| batch.id.clone());
            }
        }
        page.last_id = page.last_id.filter(|_| !is_empty);
        Ok(page)
    }

    /// A page of a batch's items, those behind the index `after`, and of them those with the status.
    ///
    /// # Errors
    /// [`Error::BatchNotFound`]; [`Error::InvalidRequest`]: `limit` is out of bounds. [`Error::Aws`].
    pub async fn batch_items(
        &self,
        key: &BatchKey,
        status: Option<ItemStatus>,
        after: Option<u32>,
        limit: Option<usize>,
    ) -> Result<ItemList, Error> {
        let limit = page_limit(limit, LIST_LIMIT_DEFAULT, ITEMS_LIMIT_MAX)?;
        self.batch_row(key).await?;
        let (mut data, mut next) = (Vec::new(), after.map_or(0, |after| after.saturating_add(1)));
        loop {
            let most = if status.is_some() { ITEMS_LIMIT_MAX } else { limit + 1 - data.len() };
            let rows = self.records.items_from(key, next, most).await?;
            let Some(last) = rows.last().map(|row| row.item.index) else { break };
            next = last + 1;
            data.extend(rows.into_iter().filter(|row| status.is_none_or(|status| row.item.status == status)).map(ItemView::from));
            if data.len() > limit {
                break;
            }
        }
        let has_more = data.len() > limit;
        data.truncate(limit);
        let last_index = data.last().map(|item| item.index);
        Ok(ItemList { object: list(), data, has_more, last_index })
    }

    /// A batch that callers know of.
    pub(super) async fn batch_row(&self, key: &BatchKey) -> Result<BatchRow, Error> {
        let row = self.records.batch(key).await?.filter(|row| !row.is_preparing);
        row.ok_or_else(|| Error::BatchNotFound(key.batch.to_string()))
    }
}
