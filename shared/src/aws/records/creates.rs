//! The newest create of each body that came without an `Idempotency-Key`, for as long as a client may try again.

use super::Records;
use super::rows::{self, IdempotencyRow};
use crate::clock::millis;
use crate::error::Error;
use crate::ids::{GenerationId, Organization};
use crate::limits;

impl Records {
    /// Notes that `generation` was just created by a request of this fingerprint, whatever was noted before.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn note_create(
        &self,
        organization: &Organization,
        fingerprint: &str,
        generation: &GenerationId,
        now_ms: i64,
    ) -> Result<(), Error> {
        let row = IdempotencyRow {
            pk: partition(organization, fingerprint),
            sk: rows::IDEMPOTENCY.into(),
            generation: generation.clone(),
            fingerprint: fingerprint.to_owned(),
            expires_at: (now_ms + millis(limits::CREATE_RETRY_WINDOW)) / 1_000,
        };
        self.put(&row).await
    }

    /// What [`Self::note_create`] noted within the last minute.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn recent_create(
        &self,
        organization: &Organization,
        fingerprint: &str,
        now_ms: i64,
    ) -> Result<Option<GenerationId>, Error> {
        let row: Option<IdempotencyRow> = self.get_row(&partition(organization, fingerprint), rows::IDEMPOTENCY).await?;
        Ok(row.filter(|row| row.expires_at >= now_ms / 1_000).map(|row| row.generation))
    }
}

fn partition(organization: &Organization, fingerprint: &str) -> String {
    format!("{organization}#create#{fingerprint}")
}
