//! What makes a request to create a generation repeatable.

use crate::app::App;
use crate::aws::IdempotencyClaim;
use crate::error::Error;
use crate::hash::sha256_hex;
use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::limits::IDEMPOTENCY_KEY_CHARS_MAX;

/// What makes a request to create a generation repeatable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: every such request creates a generation.
    None,
    /// The caller's `Idempotency-Key`, for 24 hours.
    Key(KeySha256),
    /// The request's fingerprint, for a minute. It is used only where `is_retry`: the client sends no key, and reports that it
    /// has tried before.
    Create {
        /// Whether this is not the client's first try.
        is_retry: bool,
    },
}

/// The SHA-256 of an `Idempotency-Key`, in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySha256(String);

impl Claim {
    /// The claim of a request with this `Idempotency-Key`, or of one without.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a key of the wrong length.
    pub fn of_key(idempotency_key: Option<&str>) -> Result<Self, Error> {
        let Some(key) = idempotency_key else { return Ok(Self::None) };
        if !(1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.chars().count()) {
            let expected = format!("must have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters");
            return Err(Error::invalid("Idempotency-Key", expected));
        }
        Ok(Self::Key(KeySha256(sha256_hex(key))))
    }

    /// The hash of the `Idempotency-Key`, if there is one.
    pub(super) fn key_sha256(&self) -> Option<&str> {
        match self {
            Self::Key(KeySha256(sha256)) => Some(sha256),
            Self::None | Self::Create { .. } => None,
        }
    }
}

impl App {
    /// The generation that an earlier request with this claim was for; it may not be stored yet.
    pub(super) async fn repeated(
        &self,
        claim: &Claim,
        organization: &Organization,
        fingerprint: &str,
        now_ms: i64,
    ) -> Result<Option<GenerationId>, Error> {
        match claim {
            Claim::Key(KeySha256(sha256)) => self.records.claimed(organization, sha256, now_ms).await,
            Claim::Create { is_retry: true } => self.records.recent_create(organization, fingerprint, now_ms).await,
            Claim::None | Claim::Create { is_retry: false } => Ok(None),
        }
    }

    /// Claims `new`. The result is another generation where an earlier request with this claim was for that.
    ///
    /// # Errors
    /// [`Error::IdempotencyConflict`]; [`Error::Aws`].
    pub(super) async fn claim_generation(
        &self,
        claim: &Claim,
        new: GenerationKey,
        fingerprint: &str,
        now_ms: i64,
    ) -> Result<GenerationKey, Error> {
        let GenerationKey { organization, generation } = &new;
        match claim {
            Claim::None => Ok(new),
            Claim::Key(KeySha256(sha256)) => {
                match self.records.claim_idempotency(organization, sha256, generation, fingerprint, now_ms).await? {
                    IdempotencyClaim::New => Ok(new),
                    IdempotencyClaim::Used(earlier, held) if held == fingerprint => {
                        Ok(GenerationKey::new(new.organization, earlier))
                    }
                    IdempotencyClaim::Used(earlier, _) => Err(Error::IdempotencyConflict(earlier.to_string())),
                }
            }
            Claim::Create { .. } => {
                let earlier = self.repeated(claim, organization, fingerprint, now_ms).await?;
                let generation = earlier.unwrap_or_else(|| generation.clone());
                self.records.put_create(organization, fingerprint, &generation, now_ms).await?;
                Ok(GenerationKey::new(new.organization, generation))
            }
        }
    }
}
