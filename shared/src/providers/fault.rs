//! What a provider can do wrong, and what follows from it.

use std::time::Duration;

use crate::limits::PROVIDER_MESSAGE_CHARS_MAX;

/// Stands in a message where the key stood.
const REDACTED: &str = "[key]";
/// `sk-` says nothing; more of a key is not shown.
const KEY_PREFIX_CHARS: usize = 4;

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
    /// All of them.
    pub const ALL: [Self; 10] = [
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
    ];

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
    /// One sentence for people, for the record only: it may hold the provider's own words, and never the key.
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

    /// The same without the key, which some providers repeat when they refuse it. A message may have been cut inside it.
    #[must_use]
    pub fn without_key(mut self, key: &str) -> Self {
        if !key.is_empty() {
            self.message = self.message.replace(key, REDACTED);
            let begun = |length: &usize| key.get(..*length).is_some_and(|begin| self.message.ends_with(&format!("{begin}…")));
            if let Some(length) = (KEY_PREFIX_CHARS..key.len()).rev().find(begun) {
                self.message.truncate(self.message.len() - length - '…'.len_utf8());
                self.message.push_str(REDACTED);
            }
        }
        self
    }

    /// Whether the same request may go well another time.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.fault.is_retryable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_key_is_left_wherever_a_message_is_cut() {
        let key = "sk-0123456789abcdef";
        for before in (PROVIDER_MESSAGE_CHARS_MAX - key.len() - 2)..=PROVIDER_MESSAGE_CHARS_MAX {
            let told = ProviderError::new(Fault::Rejected, format!("{}{key} is no key", "é".repeat(before))).without_key(key);
            assert!(!told.message.contains(&key[..KEY_PREFIX_CHARS]), "{}", told.message);
        }
        let untouched = ProviderError::new(Fault::Rejected, "no such model").without_key("");
        assert_eq!(untouched.message, "no such model", "an empty key is in every text");
    }
}
