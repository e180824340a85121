//! SHA-256 in hex, by which keys, texts and requests are told apart.

use sha2::{Digest, Sha256};

/// SHA-256 of these bytes: 64 digits of hex, in lower case.
#[must_use]
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// 128 random bits in hex.
///
/// # Errors
/// That the operating system has no randomness.
pub fn new_salt() -> Result<String, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("the operating system has no randomness: {error}"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
