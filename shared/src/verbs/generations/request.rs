//! A generation's request, where it is stored: in its row, until the row expires; a large one in an object of its own; of a generation
//! that was compacted, at the head of the event log too. Those of a batch's items are in the item's row or object, for all its tries.

use crate::app::App;
use crate::aws::Blobs;
use crate::error::Error;
use crate::generation::request::Request;
use crate::ids::{BatchKey, GenerationKey};
use crate::limits;

impl App {
    /// The request's text for its row; a large one is put into the bucket instead.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn store_large_request(
        &self,
        key: &GenerationKey,
        request: &Request,
    ) -> Result<Option<String>, Error> {
        let text = serde_json::to_string(request).map_err(|error| Error::invalid("", format!("cannot be stored: {error}")))?;
        self.store_large(&Blobs::request_key(key), text).await
    }

    /// The text of a request for its row; a large one is put into the bucket instead, as `object`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn store_large(&self, object: &str, text: String) -> Result<Option<String>, Error> {
        if text.len() <= limits::REQUEST_INLINE_BYTES_MAX {
            return Ok(Some(text));
        }
        self.blobs.put(object, "application/json", text.into_bytes()).await?;
        Ok(None)
    }

    /// When the row of a request that is stored now expires, epoch seconds.
    pub(in crate::verbs) fn request_expiry(&self) -> i64 {
        self.buffer_expiry(None) + limits::REQUEST_TTL.as_secs().cast_signed()
    }

    /// The request of a generation, wherever it is. `None`: it was purged.
    ///
    /// # Errors
    /// [`Error::LogDamaged`]: it cannot be read. [`Error::Aws`].
    pub(in crate::verbs) async fn request(&self, key: &GenerationKey) -> Result<Option<Request>, Error> {
        match self.request_of_open(key).await? {
            Some(request) => Ok(Some(request)),
            None => self.request_of_ended(key).await,
        }
    }

    /// The request of a generation that has not ended, or not for long. `None`: it was purged, or its row has expired.
    ///
    /// # Errors
    /// [`Error::LogDamaged`]: it cannot be read. [`Error::Aws`].
    pub(in crate::verbs) async fn request_of_open(&self, key: &GenerationKey) -> Result<Option<Request>, Error> {
        match self.records.request(key).await? {
            None => match self.records.find(key).await?.and_then(|record| record.item()) {
                Some((batch, index)) => self.request_of_item(key, &batch, index).await,
                None => Ok(None),
            },
            Some(Some(text)) => parsed(key, text.as_bytes()).map(Some),
            Some(None) => self.large_request(key, &Blobs::request_key(key)).await,
        }
    }

    /// The request of a batch's item, of which the generation is a try. `None`: the batch was deleted, or the request's row has expired.
    ///
    /// # Errors
    /// As [`Self::request_of_open`].
    pub(in crate::verbs) async fn request_of_item(
        &self,
        key: &GenerationKey,
        batch: &BatchKey,
        index: u32,
    ) -> Result<Option<Request>, Error> {
        match self.records.item_request(batch, index).await? {
            None => Ok(None),
            Some(Some(text)) => parsed(key, text.as_bytes()).map(Some),
            Some(None) => self.large_request(key, &Blobs::item_request_key(batch, index)).await,
        }
    }

    /// The request of a generation that has completed: from its row, or else from the event log in the bucket. `None`: it was purged.
    ///
    /// # Errors
    /// [`Error::LogDamaged`]: it cannot be read. [`Error::Aws`].
    pub(in crate::verbs) async fn request_of_completed(&self, key: &GenerationKey) -> Result<Option<Request>, Error> {
        match self.records.request(key).await? {
            Some(Some(text)) => parsed(key, text.as_bytes()).map(Some),
            _ => self.request_of_ended(key).await,
        }
    }

    /// The request of a generation whose row has expired.
    async fn request_of_ended(&self, key: &GenerationKey) -> Result<Option<Request>, Error> {
        let Some(record) = self.records.find(key).await? else { return Ok(None) };
        if let Some(outcome) = record.outcome.filter(|outcome| outcome.compacted.is_some())
            && let Some(text) = self.open_archive(key, &outcome, 0).await?.request().await?
        {
            return parsed(key, text.get().as_bytes()).map(Some);
        }
        self.large_request(key, &Blobs::request_key(key)).await
    }

    async fn large_request(&self, key: &GenerationKey, object: &str) -> Result<Option<Request>, Error> {
        let stored = self.blobs.get(object).await?;
        stored.map(|bytes| parsed(key, &bytes)).transpose()
    }
}

fn parsed(key: &GenerationKey, text: &[u8]) -> Result<Request, Error> {
    let damaged = |error| Error::LogDamaged(key.generation.to_string(), format!("its request cannot be read: {error}"));
    serde_json::from_slice(text).map_err(damaged)
}
