//! `start`: checks a request, stores it, and has it streamed. It waits for nothing but the stores.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::Instrument;

use crate::app::App;
use crate::aws::{Blobs, Counted, IdempotencyClaim, RecordRow, Records};
use crate::error::Error;
use crate::generation::Status;
use crate::generation::job::StreamJob;
use crate::generation::request::Request;
use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::limits;
use crate::quota::{self, Allowance, Daily, UsedUp};
use crate::telemetry::{generation_span, record_span_fields};

/// A generation that has been accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its id.
    pub id: GenerationId,
    /// Always `generation`.
    #[serde(skip_deserializing, default = "object")]
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

const fn object() -> &'static str {
    "generation"
}

impl App {
    /// Accepts a request. Once this has answered, the generation will be streamed, whatever happens to this function.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a key of the wrong length; [`Error::TooManyRunning`]; [`Error::QuotaUsedUp`]; [`Error::IdempotencyConflict`]; [`Error::Aws`], after which the same request with the same key goes on where this one stopped.
    pub async fn start(
        &self,
        organization: &Organization,
        request: &Request,
        idempotency_key: Option<&str>,
    ) -> Result<Started, Error> {
        let (started, is_waiting) = self.accept(organization, request, idempotency_key).await?;
        if is_waiting {
            self.hand_over(&GenerationKey::new(organization.clone(), started.id.clone())).await;
        }
        Ok(started)
    }

    /// Has a generation that was accepted streamed by a function of its own.
    pub(in crate::verbs) async fn hand_over(&self, key: &GenerationKey) {
        if let Err(error) = self.invoker.stream(&StreamJob::new(key)).await {
            // It is accepted and will not be lost: `sweep` invokes what stays pending.
            tracing::warn!(
                generation = %key.generation, organization = %key.organization, %error,
                "The invoke of stream failed; sweep will repeat it."
            );
        }
    }

    /// Stores a request and its record; whoever calls has it streamed. `false`: it has begun, by an earlier request with the same key.
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
        let allowance = Box::pin(self.admit(organization, request, now_ms, repeated)).await?;
        let key = match hash.as_deref() {
            Some(hash) => self.claim_idempotency(new, hash, request, now_ms).await?,
            None => new,
        };
        let new = Records::new_record(&key, request, hash.as_deref(), now_ms, allowance);
        let (record, is_waiting) = self.accept_as(&key, request, new, hash.is_some()).await?;
        Ok((Started::from(record), is_waiting))
    }

    /// Stores a request and its record under `key`, unless they may be there and are. `true`: nobody has begun to stream it. Whoever
    /// stored it may have died before the invoke; two invokes at once are one writer.
    pub(in crate::verbs) async fn accept_as(
        &self,
        key: &GenerationKey,
        request: &Request,
        mut record: RecordRow,
        may_exist: bool,
    ) -> Result<(RecordRow, bool), Error> {
        let span = generation_span!("start", key);
        record.request_id = self.request_id.as_deref().map(str::to_owned);
        Box::pin(self.store_record(key, request, record, may_exist)).instrument(span).await
    }

    async fn store_record(
        &self,
        key: &GenerationKey,
        request: &Request,
        record: RecordRow,
        may_exist: bool,
    ) -> Result<(RecordRow, bool), Error> {
        record_span_fields(record.request_id.as_deref(), &record.provider, &record.model);
        if may_exist && let Some(record) = self.records.find(key).await? {
            let is_waiting = record.outcome.is_none() && self.buffer.meta(key).await?.is_none_or(|meta| meta.attempt == 0);
            return Ok((record, is_waiting));
        }
        let text = self.store_large_request(key, request).await?;
        if let Some(Allowance { day, generations_per_day, .. }) = &record.allowance {
            match self.records.create_counted(key, &record, text, day, *generations_per_day).await? {
                Counted::Stored => {}
                Counted::Exists => return Ok((self.records.get(key).await?, false)),
                Counted::UsedUp => return Err(self.no_more_today(*generations_per_day)),
            }
        } else {
            self.records.put_request(key, text).await?;
            self.records.create(&record).await?;
        }
        tracing::info!("A generation was accepted.");
        Ok((record, true))
    }

    pub(in crate::verbs) async fn claim_idempotency(
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

    /// Others were faster, between the look and the count.
    fn no_more_today(&self, most: Option<u64>) -> Error {
        let (_, seconds_left) = quota::day(self.clock.now_ms());
        let retry_after = Duration::from_secs(seconds_left);
        Error::QuotaUsedUp(UsedUp { what: Daily::Generations, most: most.unwrap_or_default(), retry_after })
    }

    /// The request's text as its row has it; a large one is put into the bucket instead.
    async fn store_large_request(&self, key: &GenerationKey, request: &Request) -> Result<Option<String>, Error> {
        let text = serde_json::to_string(request).map_err(|error| Error::invalid("", format!("cannot be stored: {error}")))?;
        if text.len() <= limits::REQUEST_INLINE_BYTES_MAX {
            return Ok(Some(text));
        }
        self.blobs.put(&Blobs::request_key(key), "application/json", text.into_bytes()).await?;
        Ok(None)
    }

    /// The request of a generation. `None`: it was purged.
    pub(in crate::verbs) async fn request(&self, key: &GenerationKey) -> Result<Option<Request>, Error> {
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
pub(in crate::verbs) fn hash_key(idempotency_key: &str) -> Result<String, Error> {
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
