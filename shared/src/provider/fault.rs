//! What a provider can do wrong, and what follows from it.

use std::time::Duration;

use crate::limits::PROVIDER_MESSAGE_CHARS_MAX;

/// The kind of a provider's fault. The word for it is what the record's `error.code` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No connection: refused, not found, or not in time.
    Unreachable,
    /// HTTP 429.
    RateLimited,
    /// HTTP 5xx, 408 or 409: the provider's own trouble.
    Unavailable,
    /// Any other HTTP 4xx: the request will never do.
    Rejected,
    /// HTTP 200 with something that is no event stream.
    NotAStream,
    /// Nothing came within the first-byte limit.
    FirstByteTimeout,
    /// Nothing came within the idle limit.
    IdleTimeout,
    /// The stream ended, or broke, before a finish reason.
    Interrupted,
    /// An event that cannot be read: not UTF-8, not JSON, or too large.
    Unreadable,
    /// The provider reported an error inside the stream.
    ReportedError,
}

impl Fault {
    /// The word for it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "provider_unreachable",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "provider_unavailable",
            Self::Rejected => "provider_rejected",
            Self::NotAStream => "provider_not_a_stream",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::Interrupted => "interrupted",
            Self::Unreadable => "provider_unreadable",
            Self::ReportedError => "provider_error",
        }
    }

    /// Whether the same request may go well another time.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Rejected | Self::NotAStream => false,
            Self::Unreachable
            | Self::RateLimited
            | Self::Unavailable
            | Self::FirstByteTimeout
            | Self::IdleTimeout
            | Self::Interrupted
            | Self::Unreadable
            | Self::ReportedError => true,
        }
    }
}

/// A fault, told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// What kind.
    pub fault: Fault,
    /// One sentence for people; it never holds the key or the prompt.
    pub message: String,
    /// How long the provider asked to wait.
    pub retry_after: Option<Duration>,
}

impl ProviderError {
    /// A fault and its sentence, cut to [`PROVIDER_MESSAGE_CHARS_MAX`].
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let message = match message.char_indices().nth(PROVIDER_MESSAGE_CHARS_MAX) {
            Some((cut, _)) => format!("{}…", &message[..cut]),
            None => message,
        };
        Self { fault, message, retry_after: None }
    }

    /// The same, with the wait the provider asked for.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// Whether the same request may go well another time.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.fault.is_retryable()
    }
}
