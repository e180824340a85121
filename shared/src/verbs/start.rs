//! `start`: checks a request, stores it, and has it streamed. It waits for nothing but the stores.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::aws::{Blobs, IdempotencyClaim, RecordRow};
use crate::error::Error;
use crate::generation::Status;
use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::jobs::StreamJob;
use crate::limits;
use crate::request::Request;

/// A generation that has been accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Started {
    /// Its id.
    pub id: GenerationId,
    /// Always `generation`.
    pub object: &'static str,
    /// `pending`; or how an earlier request with the same `Idempotency-Key` has ended.
    pub status: Status,
    /// The provider that is asked.
    pub provider: String,
    /// The model that is asked for.
    pub model: String,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
}

impl App {
    /// Accepts a request. Once this has answered, the generation will be streamed, whatever happens to this function.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a key of the wrong length; [`Error::TooManyRunning`]; [`Error::IdempotencyConflict`]; [`Error::Aws`], after which the same request with the same key goes on where this one stopped.
    pub async fn start(
        &self,
        organization: &Organization,
        request: &Request,
        idempotency_key: Option<&str>,
    ) -> Result<Started, Error> {
        let (started, is_new) = self.accept(organization, request, idempotency_key).await?;
        if is_new {
            self.hand_over(&GenerationKey::new(organization.clone(), started.id.clone())).await;
        }
        Ok(started)
    }

    /// Has a generation that was accepted streamed by a function of its own.
    pub(super) async fn hand_over(&self, key: &GenerationKey) {
        if let Err(error) = self.invoker.stream(&StreamJob::new(key)).await {
            // It is accepted and will not be lost: `sweep` invokes what stays pending.
            tracing::warn!(
                generation = %key.generation, organization = %key.organization, %error,
                "The invoke of stream failed; sweep will repeat it."
            );
        }
    }

    /// Stores a request and its record; whoever calls has it streamed. `false`: an earlier request with the same key did.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn accept(
        &self,
        organization: &Organization,
        request: &Request,
        idempotency_key: Option<&str>,
    ) -> Result<(Started, bool), Error> {
        let now_ms = self.clock.now_ms();
        let new = GenerationKey::new(organization.clone(), GenerationId::new(now_ms));
        let hash = idempotency_key.map(hash_key).transpose()?;
        let repeated = async {
            let Some(hash) = hash.as_deref() else { return Ok(None) };
            self.records.idempotent(organization, hash, now_ms).await
        };
        Box::pin(self.admit(organization, self.config.max_running, repeated)).await?;
        let key = match hash.as_deref() {
            Some(hash) => self.claim_idempotency(new, hash, request, now_ms).await?,
            None => new,
        };
        let (record, is_new) = self.accept_as(&key, request, hash.as_deref(), hash.is_some(), now_ms).await?;
        Ok((Started::from(record), is_new))
    }

    /// Stores a request and its record under `key`, unless they may be there and are.
    pub(super) async fn accept_as(
        &self,
        key: &GenerationKey,
        request: &Request,
        idempotency_sha256: Option<&str>,
        may_exist: bool,
        now_ms: i64,
    ) -> Result<(RecordRow, bool), Error> {
        if may_exist && let Some(record) = self.records.find(key).await? {
            return Ok((record, false));
        }
        self.store_request(key, request).await?;
        let record = self.records.create(key, request, idempotency_sha256, now_ms).await?;
        tracing::info!(
            generation = %key.generation, organization = %key.organization, provider = record.provider, model = record.model,
            "A generation was accepted."
        );
        Ok((record, true))
    }

    pub(super) async fn claim_idempotency(
        &self,
        new: GenerationKey,
        hash: &str,
        request: &Request,
        now_ms: i64,
    ) -> Result<GenerationKey, Error> {
        let fingerprint = request.fingerprint();
        let claim = self.records.claim_idempotency(&new.organization, hash, &new.generation, &fingerprint, now_ms).await?;
        match claim {
            IdempotencyClaim::New => Ok(new),
            IdempotencyClaim::Used(generation, held) if held == fingerprint => {
                Ok(GenerationKey::new(new.organization, generation))
            }
            IdempotencyClaim::Used(generation, _) => Err(Error::IdempotencyConflict(generation.to_string())),
        }
    }

    async fn store_request(&self, key: &GenerationKey, request: &Request) -> Result<(), Error> {
        let text = serde_json::to_string(request).map_err(|error| Error::invalid("", format!("cannot be stored: {error}")))?;
        if text.len() <= limits::REQUEST_INLINE_BYTES_MAX {
            return self.records.put_request(key, Some(text)).await;
        }
        self.blobs.put(&Blobs::request_key(key), "application/json", text.into_bytes()).await?;
        self.records.put_request(key, None).await
    }

    /// The request of a generation. `None`: it was purged.
    pub(super) async fn request(&self, key: &GenerationKey) -> Result<Option<Request>, Error> {
        let text = match self.records.request(key).await? {
            None => return Ok(None),
            Some(Some(text)) => text.into_bytes(),
            Some(None) => match self.blobs.get(&Blobs::request_key(key)).await? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        let damaged = |error| Error::LogDamaged(key.generation.to_string(), format!("its request cannot be read: {error}"));
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }
}

/// An `Idempotency-Key` as it is kept.
pub(super) fn hash_key(idempotency_key: &str) -> Result<String, Error> {
    if (1..=limits::IDEMPOTENCY_KEY_CHARS_MAX).contains(&idempotency_key.chars().count()) {
        return Ok(format!("{:x}", Sha256::digest(idempotency_key)));
    }
    let expected = format!("must have 1 to {} characters", limits::IDEMPOTENCY_KEY_CHARS_MAX);
    Err(Error::invalid("Idempotency-Key", expected))
}

impl From<RecordRow> for Started {
    fn from(record: RecordRow) -> Self {
        Self {
            id: record.generation,
            object: "generation",
            status: record.status,
            provider: record.provider,
            model: record.model,
            created_at: record.created_at,
        }
    }
}
