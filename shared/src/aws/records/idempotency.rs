//! Which generation a request has created: by its `Idempotency-Key`, or for a minute by its fingerprint.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Records;
use super::key::Key;
use crate::clock::millis;
use crate::error::Error;
use crate::ids::{GenerationId, Organization};
use crate::limits;

/// The generation that a request has created.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct IdempotencyRow<Id = GenerationId> {
    /// Of whatever it is.
    #[serde(rename = "generation")]
    id: Id,
    fingerprint: String,
    /// Epoch seconds.
    expires_at: i64,
}

/// The result of [`Records::claim_idempotency`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyClaim {
    /// The key is new, and leads to this generation now.
    New,
    /// The key was used for this generation, by a request of this fingerprint.
    Used(GenerationId, String),
}

impl Records {
    /// Claims an `Idempotency-Key` for `generation`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn claim_idempotency(
        &self,
        organization: &Organization,
        key_sha256: &str,
        generation: &GenerationId,
        fingerprint: &str,
        now_ms: i64,
    ) -> Result<IdempotencyClaim, Error> {
        let now = now_ms / 1_000;
        let row = IdempotencyRow {
            id: generation.clone(),
            fingerprint: fingerprint.to_owned(),
            expires_at: now + limits::IDEMPOTENCY_TTL.as_secs().cast_signed(),
        };
        let key = Key::Idempotency(organization, key_sha256);
        let held = self.put_where(key, &row, "attribute_not_exists(pk) OR expires_at <= :now", Some(now)).await?;
        Ok(held.map_or(IdempotencyClaim::New, |held| IdempotencyClaim::Used(held.id, held.fingerprint)))
    }

    /// Claims an `Idempotency-Key` for a batch or a run. `Some`: it was used for this one, by a request of this fingerprint.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn claim_id<I: Clone + Serialize + DeserializeOwned>(
        &self,
        organization: &Organization,
        key_sha256: &str,
        id: &I,
        fingerprint: &str,
        now_ms: i64,
    ) -> Result<Option<(I, String)>, Error> {
        let now = now_ms / 1_000;
        let row = IdempotencyRow {
            id: id.clone(),
            fingerprint: fingerprint.to_owned(),
            expires_at: now + limits::IDEMPOTENCY_TTL.as_secs().cast_signed(),
        };
        let key = Key::Idempotency(organization, key_sha256);
        let held = self.put_where(key, &row, "attribute_not_exists(pk) OR expires_at <= :now", Some(now)).await?;
        Ok(held.map(|held| (held.id, held.fingerprint)))
    }

    /// The batch or run that an `Idempotency-Key` was used for, and the fingerprint of its request, without claiming the key.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn claimed_id<I: DeserializeOwned>(
        &self,
        organization: &Organization,
        key_sha256: &str,
        now_ms: i64,
    ) -> Result<Option<(I, String)>, Error> {
        let row: Option<IdempotencyRow<I>> = self.get_row(Key::Idempotency(organization, key_sha256)).await?;
        Ok(row.filter(|row| row.expires_at > now_ms / 1_000).map(|row| (row.id, row.fingerprint)))
    }

    /// The generation that an `Idempotency-Key` was used for, without claiming the key.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn claimed(
        &self,
        organization: &Organization,
        key_sha256: &str,
        now_ms: i64,
    ) -> Result<Option<GenerationId>, Error> {
        let row: Option<IdempotencyRow> = self.get_row(Key::Idempotency(organization, key_sha256)).await?;
        Ok(row.filter(|row| row.expires_at > now_ms / 1_000).map(|row| row.id))
    }

    /// Stores that a request of this fingerprint has created `generation`, in place of any earlier one.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_create(
        &self,
        organization: &Organization,
        fingerprint: &str,
        generation: &GenerationId,
        now_ms: i64,
    ) -> Result<(), Error> {
        let row = IdempotencyRow {
            id: generation.clone(),
            fingerprint: fingerprint.to_owned(),
            expires_at: (now_ms + millis(limits::CREATE_RETRY_WINDOW)) / 1_000,
        };
        self.put(Key::Create(organization, fingerprint), &row).await
    }

    /// The generation that [`Self::put_create`] stored within the last minute.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn recent_create(
        &self,
        organization: &Organization,
        fingerprint: &str,
        now_ms: i64,
    ) -> Result<Option<GenerationId>, Error> {
        let row: Option<IdempotencyRow> = self.get_row(Key::Create(organization, fingerprint)).await?;
        Ok(row.filter(|row| row.expires_at >= now_ms / 1_000).map(|row| row.id))
    }
}
