//! Read tokens: signed, short-lived, each for reading one generation, or one batch or run with its generations, or one user's list, or all of an
//! organization. The holder of the signing key can make them; none is stored.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::scope::Scope;
use crate::ids::{BatchId, GenerationId, KeyId, Organization, RunId, UserId};

const PREFIX: &str = "lht_";
/// A token has about 250 characters. A longer text than this is rejected unread.
const CHARS_MAX: usize = 1_024;

/// The key that signs tokens. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(String);

impl SigningKey {
    /// The key of a secret's text, which needs at least 256 random bits in any encoding.
    #[must_use]
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    fn mac(&self, signed: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).ok()?;
        mac.update(signed.as_bytes());
        Some(mac)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(…)")
    }
}

/// What a token reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reads {
    /// This generation.
    #[serde(rename = "g")]
    Generation(GenerationId),
    /// This batch, and the generations of its items.
    #[serde(rename = "b")]
    Batch(BatchId),
    /// This run, and the generations of its steps.
    #[serde(rename = "r")]
    Run(RunId),
    /// What this user is told, which it also marks as read.
    #[serde(rename = "u")]
    Inbox(UserId),
    /// All that this scope reads of the organization. Tokens are made for `read` alone.
    #[serde(rename = "s")]
    Organization(Scope),
}

impl fmt::Display for Reads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generation(id) => id.fmt(formatter),
            Self::Batch(id) => id.fmt(formatter),
            Self::Run(id) => id.fmt(formatter),
            Self::Inbox(user) => write!(formatter, "the notifications of {user}"),
            Self::Organization(scope) => write!(formatter, "all that the scope {scope} reads"),
        }
    }
}

/// The claims of a token. Their serialised names are short because every request carries them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whose it is.
    #[serde(rename = "o")]
    pub organization: Organization,
    /// What it reads.
    #[serde(flatten)]
    pub reads: Reads,
    /// When the token expires, in seconds since the epoch.
    #[serde(rename = "e")]
    pub expires_at: i64,
    /// The API key that it was made with, which must still be valid; `None`: without one.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
}

impl Claims {
    /// The token: `lht_`, the claims and their HMAC-SHA256, in base64 for URLs. Never `None`: the claims are plain text.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Option<String> {
        let signed = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).ok()?));
        let mac = BASE64_URL_SAFE_NO_PAD.encode(key.mac(&signed)?.finalize().into_bytes());
        Some(format!("{signed}.{mac}"))
    }

    /// The claims of a token, if `key` signed it. The token may have expired. Compares signatures in constant time.
    #[must_use]
    pub fn verify(token: &str, key: &SigningKey) -> Option<Self> {
        let (signed, mac) = token.rsplit_once('.')?;
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok()?;
        key.mac(signed)?.verify_slice(&mac).ok()?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(signed.strip_prefix(PREFIX)?).ok()?;
        serde_json::from_slice(&claims).ok()
    }

    /// Whether a credential looks like a token, so that it is worth a look.
    #[must_use]
    pub fn may_be(credential: &str) -> bool {
        credential.starts_with(PREFIX) && credential.len() <= CHARS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            organization: "acme".parse().unwrap(),
            reads: Reads::Generation(GenerationId::new(1_000)),
            expires_at: 1_900_000_000,
            key: Some(KeyId::new(1_000)),
        }
    }

    #[test]
    fn a_token_says_what_was_signed_and_a_change_of_any_character_makes_it_nothing() {
        let (key, claims) = (SigningKey::new("k".repeat(64)), claims());
        let token = claims.sign(&key).unwrap();
        assert!(Claims::may_be(&token) && token.len() < 300, "{}", token.len());
        assert_eq!(Claims::verify(&token, &key), Some(claims));
        assert_eq!(Claims::verify(&token, &SigningKey::new("l".repeat(64))), None);
        for at in 0..token.len() {
            for other in ["A", "z", "0", "."] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, other);
                // The last character of unpadded base64 holds bits that mean nothing; the decoder insists that they are 0.
                assert!(changed == token || Claims::verify(&changed, &key).is_none(), "{changed}");
            }
        }
        for cut in 0..token.len() {
            assert_eq!(Claims::verify(&token[..cut], &key), None);
        }
        assert!(!Claims::may_be(&format!("{token}{}", "0".repeat(CHARS_MAX))) && !Claims::may_be("lh_"));
        assert_eq!(format!("{key:?}"), "SigningKey(…)");
    }
}
