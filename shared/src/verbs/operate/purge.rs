//! `purge`: deletes everything of a generation that has ended.

use serde::Serialize;

use crate::app::App;
use crate::error::Error;
use crate::ids::{GenerationId, GenerationKey};

/// A generation that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Which.
    pub id: GenerationId,
    /// Items of the buffer that were still there.
    pub buffer_items: u64,
}

impl App {
    /// Deletes the buffer, the objects in the bucket, and last the record. Interrupted, it can be called again. A bucket that
    /// keeps versions keeps the deleted objects' until its lifecycle rule takes them (30 days in `template.yaml`).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotEnded`]; [`Error::Aws`].
    pub async fn purge(&self, key: &GenerationKey) -> Result<Purged, Error> {
        let record = self.records.get(key).await?;
        // Before its outcome stands on the record, a generation without a buffer would begin anew.
        if record.outcome.is_none() {
            return Err(Error::NotEnded(key.generation.to_string(), "only what has ended can be purged"));
        }
        let buffer_items = self.buffer.delete(key).await?;
        self.blobs.delete(key).await?;
        self.records.delete(key, &record).await?;
        // A compaction that ran beside this may have put them again; one that ends from here on deletes them itself.
        self.blobs.delete(key).await?;
        tracing::info!(generation = %key.generation, organization = %key.organization, buffer_items, "A generation was purged.");
        Ok(Purged { id: key.generation.clone(), buffer_items })
    }
}
