//! `start` of a batch: stores its items, and starts the first of them.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::aws::{BatchRow, Blobs, ItemRow, NewItem};
use crate::batches::request::{BatchRequest, ItemRequest};
use crate::batches::{BatchStatus, Counts, Item, ItemStatus, Progress};
use crate::error::Error;
use crate::generation::request::Request;
use crate::ids::{BatchId, BatchKey, Organization, SubjectKey};
use crate::limits::{BATCH_REQUESTS_KEPT, IDEMPOTENCY_KEY_CHARS_MAX};
use crate::retry::{BackoffBuilder, exponential};
use crate::verbs::batches::view::BatchView;

/// The first wait of a caller who waits for a batch, and the longest one.
const LOOK_WAIT: Duration = Duration::from_millis(50);
const LOOK_WAIT_MAX: Duration = Duration::from_millis(800);
/// Subjects that are looked up at once.
const LOOKUPS: usize = 16;

/// The revision of a batch whose items are all stored.
const FIRST_REVISION: u64 = 1;

/// A batch that is to be stored.
struct NewBatch {
    header: BatchRow,
    items: Vec<NewItem>,
}

impl App {
    /// Stores a batch, and starts as many of its items as have a place. The same request with the same key goes on where this stopped.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a key of the wrong length; [`Error::IdempotencyConflict`]; [`Error::Aws`], after which the same request
    /// with the same key completes what this one began.
    pub async fn start_batch(
        &self,
        organization: &Organization,
        request: &BatchRequest,
        idempotency_key: Option<&str>,
    ) -> Result<BatchView, Error> {
        let key = self.claim_batch(organization, &request.fingerprint, idempotency_key).await?;
        if let Some(row) = self.records.batch(&key).await?.filter(|row| !row.is_preparing) {
            return Ok(row.into());
        }
        let items = self.new_items(&key, request).await?;
        let mut header =
            BatchRow::new(&key, pending(request.concurrency, request.tries, request.max_failed), self.clock.now_ms());
        header.name.clone_from(&request.name);
        header.only_missing = request.only_missing;
        header.notify.clone_from(&request.notify);
        header.metadata = serde_json::to_string(&request.metadata).map_err(|error| Error::Internal(error.to_string()))?;
        self.store_batch(&key, NewBatch { header, items }).await
    }

    /// Starts the items of a batch again that ended with one of these statuses, as a new batch.
    ///
    /// # Errors
    /// As [`Self::start_batch`]; [`Error::BatchNotFound`]; [`Error::InvalidRequest`]: no item has such a status, or the requests have expired.
    pub async fn retry_batch(
        &self,
        earlier: &BatchKey,
        statuses: &[ItemStatus],
        idempotency_key: Option<&str>,
    ) -> Result<BatchView, Error> {
        let of = self.batch_row(earlier).await?;
        let fingerprint = format!("{earlier} {statuses:?}");
        let key = self.claim_batch(&earlier.organization, &fingerprint, idempotency_key).await?;
        if let Some(row) = self.records.batch(&key).await?.filter(|row| !row.is_preparing) {
            return Ok(row.into());
        }
        let rows = self.records.items_with(earlier, statuses).await?;
        if rows.is_empty() {
            return Err(Error::invalid("/only", "must name the status of an item of the batch; none has it"));
        }
        let copies = rows.into_iter().zip(0_u32..).map(|(row, index)| self.copied(earlier, &key, row, index).boxed());
        let items = stream::iter(copies.collect::<Vec<_>>()).buffered(LOOKUPS).try_collect().await?;
        let progress = pending(of.progress.concurrency, of.progress.tries, of.progress.max_failed);
        let mut header = BatchRow::new(&key, progress, self.clock.now_ms());
        (header.name, header.metadata, header.notify) = (of.name, of.metadata, of.notify);
        header.retry_of = Some(earlier.batch.clone());
        self.store_batch(&key, NewBatch { header, items }).await
    }

    /// A batch once it has ended, or as it is after `wait`.
    ///
    /// # Errors
    /// [`Error::BatchNotFound`]; [`Error::Aws`].
    pub async fn wait_for_batch(&self, key: &BatchKey, wait: Duration) -> Result<BatchView, Error> {
        let until = Instant::now() + wait;
        let mut waits = exponential(LOOK_WAIT, LOOK_WAIT_MAX, usize::MAX).build();
        loop {
            let batch = self.batch(key).await?;
            let left = until.saturating_duration_since(Instant::now());
            match waits.next().filter(|_| !batch.status.is_terminal() && !left.is_zero()) {
                Some(wait) => sleep(wait.min(left)).await,
                None => return Ok(batch),
            }
        }
    }

    /// Stores a batch as far as it is not stored yet, and starts its first items.
    async fn store_batch(&self, key: &BatchKey, NewBatch { mut header, items }: NewBatch) -> Result<BatchView, Error> {
        header.created_by.clone_from(&self.caller);
        self.records.create_batch(key, &header).await?;
        let expires_at = self.clock.now_ms() / 1_000 + BATCH_REQUESTS_KEPT.as_secs().cast_signed();
        let stored = self.records.create_items(key, items, expires_at).await?;
        // Of what is stored: another call may have stored some of it, and skipped others.
        header.progress.counts = Counts::all(stored.iter().map(|row| row.item.status));
        header.progress.revision = FIRST_REVISION;
        header.is_preparing = false;
        if self.records.replace_batch(key, 0, &header).await? {
            tracing::info!(batch = %key.batch, organization = %key.organization, items = stored.len(), "A batch was accepted.");
        }
        let started = self.advance(key, &[]).await?.started;
        self.ride_on(key, started).await;
        self.batch(key).await
    }

    /// An item of an earlier batch as that of a new one.
    async fn copied(&self, from: &BatchKey, to: &BatchKey, row: ItemRow, index: u32) -> Result<NewItem, Error> {
        let gone =
            || Error::invalid("", format!("cannot be done: the requests of batch {} are deleted, or have expired", from.batch));
        let request = match self.records.item_request(from, row.item.index).await? {
            None => return Err(gone()),
            Some(Some(text)) => Some(text),
            Some(None) => {
                let [from, to] = [Blobs::item_request_key(from, row.item.index), Blobs::item_request_key(to, index)];
                if !self.blobs.copy(&from, &to, "application/json").await? {
                    return Err(gone());
                }
                None
            }
        };
        let mut copy = ItemRow::new(pending_item(index));
        (copy.custom_id, copy.subject) = (row.custom_id, row.subject);
        Ok(NewItem { row: copy, request })
    }

    /// The batch that this request is for: a new one, or that of an earlier request with the same key.
    async fn claim_batch(
        &self,
        organization: &Organization,
        fingerprint: &str,
        idempotency_key: Option<&str>,
    ) -> Result<BatchKey, Error> {
        let now_ms = self.clock.now_ms();
        let new = BatchId::new(now_ms);
        let Some(given) = idempotency_key else { return Ok(BatchKey::new(organization.clone(), new)) };
        if !(1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&given.chars().count()) {
            let expected = format!("must have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters");
            return Err(Error::invalid("Idempotency-Key", expected));
        }
        // A key of a batch is none of a generation.
        let sha256 = format!("{:x}", Sha256::digest(format!("batches\n{given}")));
        match self.records.claim_batch(organization, &sha256, &new, fingerprint, now_ms).await? {
            None => Ok(BatchKey::new(organization.clone(), new)),
            Some((earlier, held)) if held == fingerprint => Ok(BatchKey::new(organization.clone(), earlier)),
            Some((earlier, _)) => Err(Error::IdempotencyConflict(earlier.to_string())),
        }
    }

    async fn new_items(&self, key: &BatchKey, request: &BatchRequest) -> Result<Vec<NewItem>, Error> {
        let items = request.items.iter().zip(0_u32..).map(|(item, index)| self.new_item(key, request, item, index).boxed());
        stream::iter(items.collect::<Vec<_>>()).buffered(LOOKUPS).try_collect().await
    }

    async fn new_item(&self, key: &BatchKey, batch: &BatchRequest, item: &ItemRequest, index: u32) -> Result<NewItem, Error> {
        let mut row = ItemRow::new(pending_item(index));
        if batch.only_missing && self.has_version(&key.organization, &item.request).await? {
            row.item.status = ItemStatus::Skipped;
            row.changed = FIRST_REVISION;
        }
        row.custom_id.clone_from(&item.custom_id);
        row.subject.clone_from(&item.request.subject);
        let text = serde_json::to_string(&item.request).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(NewItem { row, request: self.store_large(&Blobs::item_request_key(key, index), text).await? })
    }

    async fn has_version(&self, organization: &Organization, request: &Request) -> Result<bool, Error> {
        let Some(subject) = request.subject.clone() else { return Ok(false) };
        let subject = self.records.subject(&SubjectKey::new(organization.clone(), subject)).await?;
        Ok(subject.is_some_and(|subject| subject.current > 0))
    }
}

const fn pending_item(index: u32) -> Item {
    Item { index, status: ItemStatus::Pending, generation: None, tries: 0 }
}

const fn pending(concurrency: u32, tries: u32, max_failed: Option<u32>) -> Progress {
    let counts = Counts { pending: 0, running: 0, completed: 0, failed: 0, cancelled: 0, skipped: 0 };
    let status = BatchStatus::Pending;
    Progress { status, counts, ending: Vec::new(), next: 0, again: Vec::new(), concurrency, tries, max_failed, revision: 0 }
}
