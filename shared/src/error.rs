//! What can go wrong, and what each case means to a caller.
//!
//! One flat type for the crate; [`ErrorCode`] answers, without a wildcard, every question that a caller may ask of an error.
//! A provider's faults are not errors of ours: they end a generation, and are told in its record
//! ([`crate::providers::ProviderError`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::quota::{Daily, UsedUp};

/// One thing that is wrong with a request: where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// A JSON Pointer (RFC 6901) into the body; for a header or a query parameter, its name.
    pub pointer: String,
    /// What was expected there, in one sentence.
    pub detail: String,
}

impl FieldError {
    /// Names the field and what was expected of it.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// What a request has too much of, beside its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch {
    /// Which part, and the unit it is counted in.
    pub what: TooMuchOf,
    /// How much it has.
    pub found: usize,
    /// How much it may have.
    pub most: usize,
}

/// A part of a request that is bounded at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMuchOf {
    /// The path.
    PathBytes,
    /// The query.
    QueryBytes,
    /// Header fields.
    Headers,
    /// Their names and values.
    HeaderBytes,
}

impl std::fmt::Display for TooMuchOf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::PathBytes => "bytes of path",
            Self::QueryBytes => "bytes of query",
            Self::Headers => "header fields",
            Self::HeaderBytes => "bytes of header fields",
        })
    }
}

/// A verb that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong; all that is wrong with it, at once.
    #[error("{}", describe(.0))]
    InvalidRequest(Vec<FieldError>),
    /// The Responses API forbids it; the message is in that API's own words.
    #[error("{message}")]
    Refused {
        /// For the caller.
        message: String,
        /// The parameter that is at fault.
        param: Option<&'static str>,
        /// A word for programs.
        code: Option<&'static str>,
    },
    /// The body is too large, in bytes.
    #[error("the request body has {0} bytes; at most {max} are taken", max = limits::REQUEST_BYTES_MAX)]
    RequestTooLarge(usize),
    /// The caller's credential opens nothing.
    #[error("{0}")]
    Unauthorized(String),
    /// The credential is good, and not for this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such generation, or it is another organization's: the answer is the same.
    #[error("there is no generation {0:?}")]
    NotFound(String),
    /// There is no such API key.
    #[error("there is no key {0:?}")]
    KeyNotFound(String),
    /// The same `Idempotency-Key` came with another body.
    #[error("the Idempotency-Key was already used with another body, for {0}; use a new key for a new request")]
    IdempotencyConflict(String),
    /// The organization has as many generations running as it may.
    #[error("{0} generations of this organization are running, as many as may at once; try again when one of them has ended")]
    TooManyRunning(u64),
    /// The organization has used up what it may use in a day.
    #[error("{0}")]
    QuotaUsedUp(UsedUp),
    /// Too much comes with a request: which part of it, how much that has, and how much it may have.
    #[error("the request has {} {}; at most {} are taken", .0.found, .0.what, .0.most)]
    TooMuch(TooMuch),
    /// The generation must have ended first.
    #[error("generation {0} has not ended; {1}")]
    NotEnded(String, &'static str),
    /// It ended before it could be cancelled.
    #[error("generation {0} cannot be cancelled: it has ended as {1}")]
    AlreadyEnded(String, &'static str),
    /// The log is gone (its TTL is over, or it was purged) and nothing was compacted from it.
    #[error("the log of generation {0} has expired or was deleted")]
    LogGone(String),
    /// The log contradicts itself. This must never happen; nothing is compacted from such a log.
    #[error("the log of generation {0} is damaged: {1}")]
    LogDamaged(String, String),
    /// A setting is missing or wrong.
    #[error("{0}")]
    Configuration(String),
    /// AWS did not do what was asked, after the SDK's own retries.
    #[error("{operation} failed: {message}")]
    Aws {
        /// Service and operation, such as `dynamodb PutItem`.
        operation: &'static str,
        /// The cause, for the log only.
        message: String,
    },
}

/// The kind of an [`Error`]: stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// [`Error::InvalidRequest`] and [`Error::Refused`].
    InvalidRequest,
    /// [`Error::RequestTooLarge`].
    RequestTooLarge,
    /// [`Error::Unauthorized`].
    Unauthorized,
    /// [`Error::Forbidden`].
    Forbidden,
    /// [`Error::NotFound`] and [`Error::KeyNotFound`].
    NotFound,
    /// [`Error::IdempotencyConflict`].
    IdempotencyConflict,
    /// [`Error::TooManyRunning`].
    TooManyRunning,
    /// [`Error::QuotaUsedUp`] of generations.
    QuotaGenerations,
    /// [`Error::QuotaUsedUp`] of bytes of output.
    QuotaOutputBytes,
    /// [`Error::QuotaUsedUp`] of money.
    QuotaSpend,
    /// [`Error::TooMuch`] of path or query.
    UriTooLong,
    /// [`Error::TooMuch`] of header fields.
    HeadersTooLarge,
    /// [`Error::NotEnded`].
    NotEnded,
    /// [`Error::AlreadyEnded`]. Not 409, which `OpenAI`'s clients would send again.
    AlreadyEnded,
    /// [`Error::LogGone`].
    LogGone,
    /// [`Error::LogDamaged`] and [`Error::Configuration`].
    Internal,
    /// [`Error::Aws`].
    Unavailable,
}

impl ErrorCode {
    /// The HTTP status that tells it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::AlreadyEnded => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::IdempotencyConflict | Self::NotEnded => 409,
            Self::LogGone => 410,
            Self::RequestTooLarge => 413,
            Self::UriTooLong => 414,
            Self::TooManyRunning | Self::QuotaGenerations | Self::QuotaOutputBytes | Self::QuotaSpend => 429,
            Self::HeadersTooLarge => 431,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::TooManyRunning | Self::NotEnded | Self::Unavailable => true,
            Self::InvalidRequest
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::IdempotencyConflict
            | Self::AlreadyEnded
            | Self::LogGone
            | Self::RequestTooLarge
            | Self::QuotaGenerations
            | Self::QuotaOutputBytes
            | Self::QuotaSpend
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::Internal => false,
        }
    }
}

impl Error {
    /// One wrong field.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::InvalidRequest(vec![FieldError::new(pointer, detail)])
    }

    /// What the Responses API forbids.
    pub fn refused(message: impl Into<String>, param: Option<&'static str>, code: Option<&'static str>) -> Self {
        Self::Refused { message: message.into(), param, code }
    }

    /// The kind of this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidRequest(_) | Self::Refused { .. } => ErrorCode::InvalidRequest,
            Self::RequestTooLarge(_) => ErrorCode::RequestTooLarge,
            Self::Unauthorized(_) => ErrorCode::Unauthorized,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::NotFound(_) | Self::KeyNotFound(_) => ErrorCode::NotFound,
            Self::IdempotencyConflict(_) => ErrorCode::IdempotencyConflict,
            Self::TooManyRunning(_) => ErrorCode::TooManyRunning,
            Self::QuotaUsedUp(UsedUp { what: Daily::Generations, .. }) => ErrorCode::QuotaGenerations,
            Self::QuotaUsedUp(UsedUp { what: Daily::OutputBytes, .. }) => ErrorCode::QuotaOutputBytes,
            Self::QuotaUsedUp(UsedUp { what: Daily::Spend, .. }) => ErrorCode::QuotaSpend,
            Self::TooMuch(TooMuch { what: TooMuchOf::PathBytes | TooMuchOf::QueryBytes, .. }) => ErrorCode::UriTooLong,
            Self::TooMuch(TooMuch { what: TooMuchOf::Headers | TooMuchOf::HeaderBytes, .. }) => ErrorCode::HeadersTooLarge,
            Self::NotEnded(..) => ErrorCode::NotEnded,
            Self::AlreadyEnded(..) => ErrorCode::AlreadyEnded,
            Self::LogGone(_) => ErrorCode::LogGone,
            Self::LogDamaged(..) | Self::Configuration(_) => ErrorCode::Internal,
            Self::Aws { .. } => ErrorCode::Unavailable,
        }
    }

    /// When to try again, where the answer should say so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRunning(_) => Some(limits::RUNNING_RETRY_AFTER),
            Self::QuotaUsedUp(used_up) => Some(used_up.retry_after),
            _ => None,
        }
    }

    /// What a caller is told. A cause inside AWS or inside this deployment stays in its log.
    #[must_use]
    pub fn public_detail(&self) -> String {
        match self.code() {
            ErrorCode::Internal => {
                "the request could not be done because of a fault in this deployment; its log has the cause".into()
            }
            ErrorCode::Unavailable => "a service that this depends on did not answer; try again".into(),
            ErrorCode::InvalidRequest
            | ErrorCode::RequestTooLarge
            | ErrorCode::Unauthorized
            | ErrorCode::Forbidden
            | ErrorCode::NotFound
            | ErrorCode::IdempotencyConflict
            | ErrorCode::TooManyRunning
            | ErrorCode::QuotaGenerations
            | ErrorCode::QuotaOutputBytes
            | ErrorCode::QuotaSpend
            | ErrorCode::UriTooLong
            | ErrorCode::HeadersTooLarge
            | ErrorCode::NotEnded
            | ErrorCode::AlreadyEnded
            | ErrorCode::LogGone => self.to_string(),
        }
    }
}

fn describe(errors: &[FieldError]) -> String {
    let told = |error: &FieldError| match error.pointer.as_str() {
        "" => format!("the body {}", error.detail),
        pointer => format!("{pointer} {}", error.detail),
    };
    let told: Vec<String> = errors.iter().map(told).collect();
    format!("the request is not valid: {}", told.join("; "))
}
