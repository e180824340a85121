//! Faults of providers, their error codes, and which of them are retryable.

use std::time::Duration;

use crate::limits::PROVIDER_MESSAGE_CHARS_MAX;

/// Replaces the key in a message.
const REDACTED: &str = "[key]";
/// The most characters of a key that a message may show: `sk-` reveals nothing.
const KEY_PREFIX_CHARS: usize = 4;
/// A shorter key is no secret but what a local server is given in its place, and would be found within words.
const SECRET_CHARS_MIN: usize = 8;

/// The kind of a provider's fault, which becomes the record's `error.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No connection: refused, not found, or not in time.
    Unreachable,
    /// HTTP 429.
    RateLimited,
    /// HTTP 5xx, 408, 409, 424 or 425: a fault at the provider.
    Unavailable,
    /// Any other HTTP status: the same request cannot succeed later.
    Rejected,
    /// HTTP 200 with a body that is not an event stream.
    NotAStream,
    /// Nothing was received within the first-byte limit.
    FirstByteTimeout,
    /// Nothing was received within the idle limit.
    IdleTimeout,
    /// The stream ended, or broke, before a finish reason.
    Interrupted,
    /// An event that cannot be read: not UTF-8, not JSON, or too large.
    Unreadable,
    /// The provider reported an error inside the stream.
    ReportedError,
    /// The provider no longer has the response that it kept, or does not stream it any more.
    Gone,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 11] = [
        Self::Unreachable,
        Self::RateLimited,
        Self::Unavailable,
        Self::Rejected,
        Self::NotAStream,
        Self::FirstByteTimeout,
        Self::IdleTimeout,
        Self::Interrupted,
        Self::Unreadable,
        Self::ReportedError,
        Self::Gone,
    ];

    /// The error code.
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
            Self::Gone => "provider_response_gone",
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Rejected | Self::NotAStream | Self::Gone => false,
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

/// A fault with its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// What kind.
    pub fault: Fault,
    /// One sentence for people. It may quote the provider, and never contains a key of 8 characters or more.
    pub message: String,
    /// The wait that the provider requested before a retry.
    pub retry_after: Option<Duration>,
    /// The HTTP status that the provider answered, or named in its stream.
    pub status: Option<u16>,
}

impl ProviderError {
    /// A fault with its message, cut to [`PROVIDER_MESSAGE_CHARS_MAX`].
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let message = match message.char_indices().nth(PROVIDER_MESSAGE_CHARS_MAX) {
            Some((cut, _)) => format!("{}…", &message[..cut]),
            None => message,
        };
        Self { fault, message, retry_after: None, status: None }
    }

    /// The same with the HTTP status that the provider answered.
    #[must_use]
    pub fn with_status(self, status: Option<u16>) -> Self {
        Self { status, ..self }
    }

    /// The same with the wait that the provider requested.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// The same without the key, which some providers quote when they refuse it. The message may have been cut within the key.
    #[must_use]
    pub fn without_key(mut self, key: &str) -> Self {
        if key.len() >= SECRET_CHARS_MIN {
            self.message = self.message.replace(key, REDACTED);
            let begun = |length: &usize| key.get(..*length).is_some_and(|begin| self.message.ends_with(&format!("{begin}…")));
            if let Some(length) = (KEY_PREFIX_CHARS..key.len()).rev().find(begun) {
                self.message.truncate(self.message.len() - length - '…'.len_utf8());
                self.message.push_str(REDACTED);
            }
        }
        self
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.fault.is_retryable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_redacted_wherever_the_message_is_cut() {
        let key = "sk-0123456789abcdef";
        for before in (PROVIDER_MESSAGE_CHARS_MAX - key.len() - 2)..=PROVIDER_MESSAGE_CHARS_MAX {
            let error = ProviderError::new(Fault::Rejected, format!("{}{key} is no key", "é".repeat(before))).without_key(key);
            assert!(!error.message.contains(&key[..KEY_PREFIX_CHARS]), "{}", error.message);
        }
        let untouched = ProviderError::new(Fault::Rejected, "no such model").without_key("");
        assert_eq!(untouched.message, "no such model", "an empty key is in every text");
    }
}
