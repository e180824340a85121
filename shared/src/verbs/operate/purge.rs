//! `purge`: deletes all data of a generation that has ended.

use serde::Serialize;

use crate::app::App;
use crate::aws::Blobs;
use crate::error::Error;
use crate::ids::{GenerationId, GenerationKey};
use crate::migrations::stratos::convert::IMPORTED_BY;

/// A generation that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Its id.
    pub id: GenerationId,
    /// Items that its buffer still had.
    pub buffer_items: u64,
}

impl App {
    /// Deletes the buffer, the objects in the bucket, and last the record. Interrupted, it can be called again. A bucket with
    /// versions keeps those of deleted objects until its lifecycle rule removes them (30 days in `template.yaml`).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotEnded`]; [`Error::Aws`].
    pub async fn purge(&self, key: &GenerationKey) -> Result<Purged, Error> {
        let record = self.records.get(key).await?;
        // A generation without an outcome and without a buffer would be streamed from the beginning.
        if record.outcome.is_none() {
            return Err(Error::NotEnded(key.generation.to_string(), "only what has ended can be purged"));
        }
        let buffer_items = self.buffer.delete(key).await?;
        self.blobs.delete(key).await?;
        if record.outcome.as_ref().is_some_and(|outcome| outcome.compacted_by == IMPORTED_BY) {
            self.blobs.delete_objects(&[Blobs::source_key(key)]).await?;
        }
        if let Some((batch, index)) = record.item() {
            // The request is the item's, whose other tries have it too.
            self.records.delete_item_request(&batch, index).await?;
            self.blobs.delete_objects(&[Blobs::item_request_key(&batch, index)]).await?;
        }
        self.records.delete(key, &record).await?;
        // A concurrent compaction may have put them again; one that ends later deletes them itself.
        self.blobs.delete(key).await?;
        tracing::info!(generation = %key.generation, organization = %key.organization, buffer_items, "A generation was purged.");
        Ok(Purged { id: key.generation.clone(), buffer_items })
    }
}
