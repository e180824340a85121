//! `start`: stores a request, and has it streamed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::Instrument;

use crate::app::App;
use crate::aws::{Created, RecordRow};
use crate::error::Error;
use crate::generation::Status;
use crate::generation::job::StreamJob;
use crate::generation::request::Request;
use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::quota::{self, Daily, UsedUp};
use crate::telemetry::{generation_span, record_span_fields};
use crate::verbs::generations::claim::Claim;

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
    /// The provider.
    pub provider: String,
    /// The model, as it was requested.
    pub model: String,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
}

const fn object() -> &'static str {
    "generation"
}

/// The result of accepting a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted<T> {
    /// The request has created a generation.
    New(T),
    /// An earlier request with the same claim has created it.
    Repeated {
        /// The generation.
        of: T,
        /// Whether no writer has begun: the earlier request may have died before the invoke.
        is_waiting: bool,
    },
}

impl<T> Accepted<T> {
    /// Whether the caller has to have the generation streamed. Two writers at once end as one.
    #[must_use]
    pub const fn needs_writer(&self) -> bool {
        matches!(self, Self::New(_) | Self::Repeated { is_waiting: true, .. })
    }

    /// The same of another view of the generation.
    pub(in crate::verbs) fn seen_as<U>(&self, of: U) -> Accepted<U> {
        match self {
            Self::New(_) => Accepted::New(of),
            Self::Repeated { is_waiting, .. } => Accepted::Repeated { of, is_waiting: *is_waiting },
        }
    }

    /// The generation.
    #[must_use]
    pub const fn get(&self) -> &T {
        match self {
            Self::New(of) | Self::Repeated { of, .. } => of,
        }
    }

    /// The generation.
    #[must_use]
    pub fn into_inner(self) -> T {
        match self {
            Self::New(of) | Self::Repeated { of, .. } => of,
        }
    }
}

impl App {
    /// Accepts a request, and has it streamed. Once this has returned, the generation is streamed even if this function dies.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a key of the wrong length; [`Error::TooManyRunning`]; [`Error::QuotaUsedUp`]; [`Error::IdempotencyConflict`]; [`Error::Aws`], after which the same request with the same key completes what this one began.
    pub async fn start(
        &self,
        organization: &Organization,
        request: &Request,
        idempotency_key: Option<&str>,
    ) -> Result<Started, Error> {
        self.start_claimed(organization, request, &Claim::of_key(idempotency_key)?).await
    }

    /// [`Self::start`] of a request with this claim.
    pub(in crate::verbs) async fn start_claimed(
        &self,
        organization: &Organization,
        request: &Request,
        claim: &Claim,
    ) -> Result<Started, Error> {
        let accepted = self.accept(organization, request, claim).await?;
        let (needs_writer, record) = (accepted.needs_writer(), accepted.into_inner());
        if needs_writer {
            self.hand_over(&record.key()).await;
        }
        Ok(Started::from(record))
    }

    /// Has an accepted generation streamed by a function of its own.
    pub async fn hand_over(&self, key: &GenerationKey) {
        if let Err(error) = self.invoker.stream(&StreamJob::fresh(key)).await {
            // The generation is not lost: `sweep` invokes what stays pending.
            tracing::warn!(
                generation = %key.generation, organization = %key.organization, %error,
                "The invoke of stream failed; sweep will repeat it."
            );
        }
    }

    /// Stores a request and its record, unless `claim` repeats an earlier request. The caller has it streamed, where that is
    /// needed.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn accept(
        &self,
        organization: &Organization,
        request: &Request,
        claim: &Claim,
    ) -> Result<Accepted<RecordRow>, Error> {
        let (now_ms, fingerprint) = (self.clock.now_ms(), request.fingerprint());
        let allowance = Box::pin(self.admit(organization, request, claim, &fingerprint, now_ms)).await?;
        let new = GenerationKey::new(organization.clone(), GenerationId::new(now_ms));
        let key = self.claim_generation(claim, new.clone(), &fingerprint, now_ms).await?;
        let request_id = self.request_id.as_deref().map(str::to_owned);
        let record = RecordRow::new(&key, request, claim.key_sha256(), now_ms, allowance, request_id);
        let span = generation_span!("start", &key);
        Box::pin(self.store(request, record, key == new)).instrument(span).await
    }

    /// Stores a request and its record. `is_new`: no earlier request can have done so.
    async fn store(&self, request: &Request, record: RecordRow, is_new: bool) -> Result<Accepted<RecordRow>, Error> {
        record_span_fields(record.request_id.as_deref(), &record.provider, &record.model);
        let key = record.key();
        if !is_new && let Some(stored) = self.records.find(&key).await? {
            return self.accept_again(&key, stored).await;
        }
        let record = self.told_of_end(request, record).await?;
        let record = self.about_subject(request, record).await?;
        let text = self.store_large_request(&key, request).await?;
        match self.records.create(&record, text, self.request_expiry()).await? {
            Created::Stored => {
                tracing::info!("A generation was accepted.");
                Ok(Accepted::New(record))
            }
            Created::Exists(stored) => self.accept_again(&key, *stored).await,
            Created::UsedUp => Err(self.no_more_today(record.allowance.and_then(|allowance| allowance.generations_per_day))),
        }
    }

    async fn accept_again(&self, key: &GenerationKey, stored: RecordRow) -> Result<Accepted<RecordRow>, Error> {
        let is_waiting = stored.outcome.is_none() && self.buffer.meta(key).await?.is_none_or(|meta| meta.attempt == 0);
        Ok(Accepted::Repeated { of: stored, is_waiting })
    }

    /// Other requests were counted between the check and this count.
    fn no_more_today(&self, most: Option<u64>) -> Error {
        let (_, seconds_left) = quota::day(self.clock.now_ms());
        let retry_after = Duration::from_secs(seconds_left);
        Error::QuotaUsedUp(UsedUp { what: Daily::Generations, most: most.unwrap_or_default(), retry_after })
    }
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
