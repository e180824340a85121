//! `progress`: how far a generation has come, for two or three small reads.

use serde::Serialize;

use super::get;
use crate::app::App;
use crate::error::Error;
use crate::generation::{Progress, Status};
use crate::ids::{GenerationId, GenerationKey, Organization};

/// A generation's progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgressView {
    /// Its id.
    pub id: GenerationId,
    /// Where it stands.
    pub status: Status,
    /// How far it has come.
    pub progress: Progress,
    /// Attempts begun; `None` once the buffer is gone.
    pub attempt: Option<u32>,
}

impl App {
    /// How far it has come.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Aws`].
    pub async fn progress(&self, organization: &Organization, id: &GenerationId) -> Result<ProgressView, Error> {
        let key = GenerationKey::new(organization.clone(), id.clone());
        let reads = async { futures::try_join!(self.records.get(&key), self.buffer.newest(&key), self.buffer.meta(&key)) };
        let (record, newest, meta) = Box::pin(reads).await?;
        Ok(ProgressView {
            status: get::status(&record, newest.as_ref()),
            progress: get::progress(record.outcome.as_ref(), newest.as_ref()),
            attempt: meta.map(|meta| meta.attempt),
            id: key.generation,
        })
    }
}
