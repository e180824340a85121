//! `start` of a batch: stores its items, those of an upload as they are read, and starts the first of them.

use std::fmt::Display;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::aws::{BatchRow, Blobs, ItemRow, NewItem};
use crate::batches::request::{BatchRequest, ItemRequest, Items};
use crate::batches::{BatchStatus, Counts, Item, ItemStatus, Progress};
use crate::error::Error;
use crate::generation::request::Request;
use crate::hash::sha256_hex;
use crate::ids::{BatchId, BatchKey, Organization, SubjectKey, UploadId};
use crate::limits::{BATCH_REQUESTS_KEPT, IDEMPOTENCY_KEY_CHARS_MAX};
use crate::retry::{BackoffBuilder, exponential};
use crate::verbs::batches::view::BatchView;

/// The first wait of a caller who waits for a batch, and the longest one.
const LOOK_WAIT: Duration = Duration::from_millis(50);
const LOOK_WAIT_MAX: Duration = Duration::from_millis(800);
/// Subjects that are looked up at once.
const LOOKUPS: usize = 16;

/// What keeps the `Idempotency-Key` of a batch apart from one of a generation.
const BATCHES: &str = "batches";
/// What keeps an upload apart from a key.
const UPLOADS: &str = "uploads";
/// The revision of a batch whose items are all stored.
const FIRST_REVISION: u64 = 1;

/// Items of an upload that are stored together, and the bytes of them that are enough before there are so many.
const STORED_AT_ONCE: usize = 200;
const STORED_BYTES: usize = 4 * 1024 * 1024;

impl App {
    /// Stores a batch, and starts as many of its items as have a place. The same request with the same key goes on where this stopped.
    ///
    /// An upload is checked whole before anything is stored, and is deleted once the batch exists.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a key of the wrong length, or with the errors of an upload's items; [`Error::IdempotencyConflict`];
    /// [`Error::Aws`], after which the same request with the same key completes what this one began.
    pub async fn start_batch(
        &self,
        organization: &Organization,
        request: &BatchRequest,
        idempotency_key: Option<&str>,
    ) -> Result<BatchView, Error> {
        if let Items::Uploaded(upload) = &request.items {
            // The upload of a batch that exists is deleted. A key is not used up by an upload that is not valid.
            for (kind, given) in [(BATCHES, idempotency_key), (UPLOADS, Some(upload.as_str()))] {
                if let Some(batch) = self.started_before(organization, &request.fingerprint, (kind, given)).await? {
                    return Ok(batch);
                }
            }
            self.check_upload(organization, upload, request).await?;
        }
        let new = BatchId::new(self.clock.now_ms());
        let mut batch = self.claim_id(BATCHES, organization, new, (&request.fingerprint, idempotency_key)).await?;
        if let Items::Uploaded(upload) = &request.items {
            // A start without a key, which its caller gave up and repeats, comes to the same batch by its upload.
            batch = self.claim_upload(organization, upload, batch, &request.fingerprint).await?;
        }
        let key = BatchKey::new(organization.clone(), batch);
        if let Some(row) = self.records.batch(&key).await?.filter(|row| !row.is_preparing) {
            return Ok(row.into());
        }
        self.check_maintenance(organization).await?;
        let mut header =
            BatchRow::new(&key, pending(request.concurrency, request.tries, request.max_failed), self.clock.now_ms());
        header.name.clone_from(&request.name);
        header.only_missing = request.only_missing;
        header.notify.clone_from(&request.notify);
        header.metadata = serde_json::to_string(&request.metadata).map_err(|error| Error::Internal(error.to_string()))?;
        header.created_by.clone_from(&self.caller);
        match &request.items {
            Items::Given(items) => {
                let items = self.new_items(&key, request, items, 0).await?;
                self.store_batch(&key, header, items).await
            }
            Items::Uploaded(upload) => {
                self.records.create_batch(&key, &header).await?;
                let stored = self.store_uploaded(&key, upload, request).await?;
                let batch = self.begin_batch(&key, header, &stored).await?;
                self.delete_upload(organization, upload).await;
                Ok(batch)
            }
        }
    }

    /// The batch that an upload is for: one upload makes one batch.
    async fn claim_upload(
        &self,
        organization: &Organization,
        upload: &UploadId,
        batch: BatchId,
        fingerprint: &str,
    ) -> Result<BatchId, Error> {
        self.claim_id(UPLOADS, organization, batch, (fingerprint, Some(upload.as_str()))).await.map_err(|error| match error {
            Error::IdempotencyConflict(earlier) => {
                Error::invalid("/items_from", format!("is the upload of batch {earlier}; send the file again as another upload"))
            }
            error => error,
        })
    }

    /// Stores the items of an upload as they are read; returns their statuses as they are stored then.
    async fn store_uploaded(&self, key: &BatchKey, upload: &UploadId, request: &BatchRequest) -> Result<Vec<ItemStatus>, Error> {
        let rules = self.config.request_rules();
        let mut reader = self.open_upload(&key.organization, upload, request, &rules).await?;
        let mut stored = Vec::new();
        loop {
            let items = reader.next_items(STORED_AT_ONCE, STORED_BYTES).await?;
            if items.is_empty() {
                break;
            }
            let first = u32::try_from(stored.len()).unwrap_or(u32::MAX);
            let items = self.new_items(key, request, &items, first).await?;
            stored.extend(self.store_items(key, items).await?);
        }
        reader.finish()?;
        Ok(stored)
    }

    /// The batch that an earlier request of this fingerprint with the same key has started.
    async fn started_before(
        &self,
        organization: &Organization,
        fingerprint: &str,
        (kind, given): (&str, Option<&str>),
    ) -> Result<Option<BatchView>, Error> {
        let Some(id) = self.claimed_id(kind, organization, (fingerprint, given)).await? else { return Ok(None) };
        let row = self.records.batch(&BatchKey::new(organization.clone(), id)).await?;
        Ok(row.filter(|row| !row.is_preparing).map(Into::into))
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
        let new = BatchId::new(self.clock.now_ms());
        let batch = self.claim_id(BATCHES, &earlier.organization, new, (&fingerprint, idempotency_key)).await?;
        let key = BatchKey::new(earlier.organization.clone(), batch);
        if let Some(row) = self.records.batch(&key).await?.filter(|row| !row.is_preparing) {
            return Ok(row.into());
        }
        self.check_maintenance(&earlier.organization).await?;
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
        header.created_by.clone_from(&self.caller);
        self.store_batch(&key, header, items).await
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
    async fn store_batch(&self, key: &BatchKey, header: BatchRow, items: Vec<NewItem>) -> Result<BatchView, Error> {
        self.records.create_batch(key, &header).await?;
        let stored = self.store_items(key, items).await?;
        self.begin_batch(key, header, &stored).await
    }

    /// Stores items as far as they are not stored yet; returns their statuses as they are stored then: another call may have skipped some.
    async fn store_items(&self, key: &BatchKey, items: Vec<NewItem>) -> Result<Vec<ItemStatus>, Error> {
        let expires_at = self.clock.now_ms() / 1_000 + BATCH_REQUESTS_KEPT.as_secs().cast_signed();
        let stored = self.records.create_items(key, items, expires_at).await?;
        Ok(stored.into_iter().map(|row| row.item.status).collect())
    }

    /// Tells what was prepared, and starts the first items.
    async fn begin_batch(&self, key: &BatchKey, mut header: BatchRow, stored: &[ItemStatus]) -> Result<BatchView, Error> {
        header.progress.counts = Counts::all(stored.iter().copied());
        header.progress.revision = FIRST_REVISION;
        header.is_preparing = false;
        if self.records.replace_batch(key, 0, &header).await? {
            tracing::info!(batch = %key.batch, organization = %key.organization, items = stored.len(), "A batch was accepted.");
        }
        let started = self.advance(key, &[]).await?.started;
        self.ride_on(&key.organization, started).await;
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

    /// The batch or run that this request is for: `new`, or that of an earlier request with the same key. `kind` keeps a key of batches apart from
    /// one of generations.
    pub(in crate::verbs) async fn claim_id<I: Clone + Display + Serialize + DeserializeOwned>(
        &self,
        kind: &str,
        organization: &Organization,
        new: I,
        (fingerprint, idempotency_key): (&str, Option<&str>),
    ) -> Result<I, Error> {
        let Some(given) = idempotency_key else { return Ok(new) };
        let sha256 = sha256_of(kind, given)?;
        match self.records.claim_id(organization, &sha256, &new, fingerprint, self.clock.now_ms()).await? {
            None => Ok(new),
            Some((earlier, held)) if held == fingerprint => Ok(earlier),
            Some((earlier, _)) => Err(Error::IdempotencyConflict(earlier.to_string())),
        }
    }

    /// The batch or run that an earlier request of this fingerprint with the same key was for. The key is not claimed.
    pub(in crate::verbs) async fn claimed_id<I: DeserializeOwned>(
        &self,
        kind: &str,
        organization: &Organization,
        (fingerprint, idempotency_key): (&str, Option<&str>),
    ) -> Result<Option<I>, Error> {
        let Some(given) = idempotency_key else { return Ok(None) };
        let claimed = self.records.claimed_id(organization, &sha256_of(kind, given)?, self.clock.now_ms()).await?;
        Ok(claimed.filter(|(_, held)| held == fingerprint).map(|(id, _)| id))
    }

    /// Items of a batch, the first of which has the index `first`.
    async fn new_items(
        &self,
        key: &BatchKey,
        request: &BatchRequest,
        items: &[ItemRequest],
        first: u32,
    ) -> Result<Vec<NewItem>, Error> {
        let items = items.iter().zip(first..).map(|(item, index)| self.new_item(key, request, item, index).boxed());
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

/// By what an `Idempotency-Key` is stored. A key of a batch is none of a generation.
fn sha256_of(kind: &str, given: &str) -> Result<String, Error> {
    if (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&given.chars().count()) {
        return Ok(sha256_hex(format!("{kind}\n{given}")));
    }
    Err(Error::invalid("Idempotency-Key", format!("must have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters")))
}

const fn pending_item(index: u32) -> Item {
    Item { index, status: ItemStatus::Pending, generation: None, tries: 0 }
}

const fn pending(concurrency: u32, tries: u32, max_failed: Option<u32>) -> Progress {
    let counts = Counts { pending: 0, running: 0, completed: 0, failed: 0, cancelled: 0, skipped: 0 };
    let status = BatchStatus::Pending;
    Progress { status, counts, ending: Vec::new(), next: 0, again: Vec::new(), concurrency, tries, max_failed, revision: 0 }
}
