//! API keys: what a caller shows, what is kept of it, and what it allows.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::ids::{GenerationId, KeyId, Organization};

/// How an API key begins, so that people and scanners for secrets know one.
const PREFIX: &str = "lh_";
/// Bytes of randomness: too many to be guessed, or found from the hash. A slow hash is for what people make up.
const RANDOM_BYTES: usize = 32;

/// An API key: `lh_` and 64 hex digits. Whoever has it may act for its organization. It is never kept, and never printed but once.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A new key, of 256 random bits from the operating system.
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

    /// The key itself, for its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it: its SHA-256 in hex.
    #[must_use]
    pub fn sha256(&self) -> String {
        format!("{:x}", Sha256::digest(&self.0))
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

/// A text that is no API key. It is not told: it may be one with a slip in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an API key is `{PREFIX}` and 64 hex digits")]
pub struct NoKey;

/// What a key may do. None includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Start and cancel.
    Start,
    /// Read, and follow.
    Read,
    /// Delete.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Start, Self::Read, Self::Admin];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| format!("a scope is start, read or admin, not {text:?}"))
    }
}

/// Some scopes; as text with spaces between them, as in OAuth 2.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Every scope.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether `scope` is one of them.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|scope| scope.as_str()).collect();
        formatter.write_str(&words.join(" "))
    }
}

impl FromStr for Scopes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_whitespace().map(str::parse).collect()
    }
}

/// What a credential allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// For whom.
    pub organization: Organization,
    /// What.
    pub scopes: Scopes,
    /// By which key; `None`: a token that was made without one.
    pub key: Option<KeyId>,
    /// Until when, in milliseconds; `None`: until it is revoked.
    pub valid_until: Option<i64>,
    /// The one generation that it is for; `None`: all.
    pub generation: Option<GenerationId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_shows_itself_to_nobody() {
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

    #[test]
    fn scopes_read_back_from_their_text() {
        for scopes in [Scopes::default(), Scopes::all(), Scopes::from_iter([Scope::Read])] {
            assert_eq!(scopes.to_string().parse::<Scopes>(), Ok(scopes));
        }
        assert_eq!(Scopes::all().to_string(), "start read admin");
        assert!("start root".parse::<Scopes>().unwrap_err().contains("\"root\""));
    }
}
