//! SHA-256 in hex, by which keys, texts and requests are told apart.

use sha2::{Digest, Sha256};

/// SHA-256 of these bytes: 64 digits of hex, in lower case.
#[must_use]
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
