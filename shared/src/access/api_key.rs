//! API keys: how a key is generated and parsed, and the hash that is stored of it.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::error::Error;
use crate::hash::sha256_hex;

/// The prefix of an API key, by which people and secret scanners recognise one.
const PREFIX: &str = "lh_";
/// Bytes of randomness: too many to be guessed, or to be found from the hash. Only passwords need a slow hash.
const RANDOM_BYTES: usize = 32;

/// An API key: `lh_` and 64 hex digits. Its holder may act for its organization. It is printed once, and never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A new key, made of 256 random bits from the operating system.
    ///
    /// # Errors
    /// [`Error::Configuration`]: the operating system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::Configuration(format!("the operating system has no randomness: {error}")))?;
        let mut text = PREFIX.to_owned();
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    /// The key itself, to be shown to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The key's SHA-256 in hex, which is stored.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256_hex(&self.0)
    }
}

impl FromStr for ApiKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == 2 * RANDOM_BYTES).ok_or(NoKey)?;
        let fits = digits.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
        if fits { Ok(Self(text.to_owned())) } else { Err(NoKey) }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(…)")
    }
}

/// The error of a text that is not an API key. It does not repeat the text, which may be a mistyped key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an API key is `{PREFIX}` and 64 hex digits")]
pub struct NoKey;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_parses_back_and_is_not_shown_by_debug() {
        let key = ApiKey::generate().unwrap();
        assert_eq!(key.reveal().parse::<ApiKey>().unwrap(), key);
        assert_ne!(ApiKey::generate().unwrap(), key);
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
        assert_eq!(key.sha256().len(), 64);
        let upper = key.reveal().to_ascii_uppercase();
        for wrong in ["", "lh_", &key.reveal()[..66], &format!("{}0", key.reveal()), &upper, "lh_\u{e9}"] {
            assert_eq!(wrong.parse::<ApiKey>(), Err(NoKey), "{wrong:?}");
        }
    }
}
