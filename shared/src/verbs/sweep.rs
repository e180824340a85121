//! `sweep`: finds what stands still, in the sparse index of open generations, and sets it going again.

use futures::StreamExt;
use serde::Serialize;

use crate::app::App;
use crate::clock::millis;
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::jobs::StreamJob;
use crate::limits::{OPEN_SHARDS, PENDING_MAX};

/// Generations looked at side by side.
const CONCURRENCY: usize = 8;

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Generations that have not ended.
    pub open: u64,
    /// Streamed again: their invoke was lost, or their writer is gone. `stream` goes on with them, or ends them.
    pub streamed: u64,
    /// Compacted: their log had ended, and nobody had noticed.
    pub compacted: u64,
}

enum Found {
    Well,
    Streamed,
    Compacted,
}

impl App {
    /// Looks at every generation that has not ended. What one of them refuses does not keep the others.
    ///
    /// # Errors
    /// [`Error::Aws`]: the index cannot be read.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let shards = futures::future::try_join_all((0..OPEN_SHARDS).map(|shard| self.records.open(shard))).await?;
        let open: Vec<GenerationKey> = shards.into_iter().flatten().collect();
        let mut swept = Swept { open: open.len() as u64, ..Swept::default() };
        let mut all = futures::stream::iter(open).map(|key| sweep_one(self.clone(), key)).buffer_unordered(CONCURRENCY);
        while let Some(found) = all.next().await {
            match found {
                Found::Well => {}
                Found::Streamed => swept.streamed += 1,
                Found::Compacted => swept.compacted += 1,
            }
        }
        tracing::info!(open = swept.open, streamed = swept.streamed, compacted = swept.compacted, "A sweep is done.");
        Ok(swept)
    }

    async fn take_up(&self, key: &GenerationKey) -> Result<Found, Error> {
        let Some(record) = self.records.find(key).await?.filter(|record| record.outcome.is_none()) else {
            return Ok(Found::Well);
        };
        let (newest, meta) = futures::try_join!(self.buffer.newest(key), self.buffer.meta(key))?;
        let now = self.clock.now_ms();
        if let Some(ended) = newest.as_ref().filter(|chunk| chunk.end().is_some()) {
            if now < ended.at_ms + millis(PENDING_MAX) {
                return Ok(Found::Well);
            }
            self.compact(&key.organization, &key.generation, "sweep").await?;
            return Ok(Found::Compacted);
        }
        let shown = newest.map(|chunk| (chunk.writer, chunk.at_ms));
        let created = record.created_at.parse().map_or(0, |at: jiff::Timestamp| at.as_millisecond());
        let is_fresh = meta.as_ref().is_none_or(|meta| meta.attempt == 0) && now < created + millis(PENDING_MAX);
        if is_fresh || self.is_writer_alive(meta.as_ref(), shown.as_ref()) {
            return Ok(Found::Well);
        }
        self.invoker.stream(&StreamJob::new(key)).await?;
        Ok(Found::Streamed)
    }
}

async fn sweep_one(app: App, key: GenerationKey) -> Found {
    match app.take_up(&key).await {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(generation = %key.generation, organization = %key.organization, %error, "A generation could not be swept.");
            Found::Well
        }
    }
}
