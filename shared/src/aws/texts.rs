//! Texts of versions in the bucket: under their own hash within their subject, so that versions of one text share an object, and a purged
//! generation takes nothing from its version.

use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::Blobs;
use super::clients::unexpected;
use crate::error::Error;
use crate::hash::sha256_hex;
use crate::ids::{GenerationKey, SubjectKey};
use crate::limits::OUTPUT_INLINE_BYTES_MAX;
use crate::subjects::version::is_packed;

const PLAIN: &str = "text/plain; charset=utf-8";
const PACKED: &str = "application/gzip";
/// Digits of a text's hash in its key: with the longest organization, 120 bytes, which the embedded S3 takes.
const NAME_DIGITS: usize = 22;

impl Blobs {
    /// The key of a text of a subject's versions: the first [`NAME_DIGITS`] of its hash. [`Self::text`] checks the whole of it.
    #[must_use]
    pub fn text_key(key: &SubjectKey, sha256: &str, bytes: u64) -> String {
        let name = sha256.get(..NAME_DIGITS).unwrap_or(sha256);
        format!("{}{name}{}", key.folder(), if is_packed(bytes) { ".gz" } else { "" })
    }

    /// The object of a text whose hash is known, as [`Self::put_text`] puts it: its key, media type and bytes.
    ///
    /// # Errors
    /// [`Error::Aws`]: it cannot be compressed.
    pub fn text_object(key: &SubjectKey, sha256: &str, text: &[u8]) -> Result<(String, &'static str, Vec<u8>), Error> {
        let object = Self::text_key(key, sha256, text.len() as u64);
        if is_packed(text.len() as u64) {
            let packed = pack(text).map_err(|error| unexpected("s3 PutObject", error))?;
            return Ok((object, PACKED, packed));
        }
        Ok((object, PLAIN, text.to_vec()))
    }

    /// Puts a text, and returns its SHA-256 in hex.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_text(&self, key: &SubjectKey, text: Vec<u8>) -> Result<String, Error> {
        let sha256 = sha256_hex(&text);
        let (object, content_type, bytes) = Self::text_object(key, &sha256, &text)?;
        self.put(&object, content_type, bytes).await?;
        Ok(sha256)
    }

    /// Puts the result of a generation, whose hash and length are known, as a text of a subject. A large one does not pass through this
    /// function. `false`: the result is gone.
    ///
    /// # Errors
    /// [`Error::Aws`]; [`Error::LogDamaged`]: the result has another hash.
    pub async fn adopt_text(
        &self,
        key: &SubjectKey,
        generation: &GenerationKey,
        sha256: &str,
        bytes: u64,
    ) -> Result<bool, Error> {
        let output = Self::output_key(generation);
        if bytes > OUTPUT_INLINE_BYTES_MAX {
            return self.copy(&output, &Self::text_key(key, sha256, bytes), PLAIN).await;
        }
        let Some(text) = self.get(&output).await? else { return Ok(false) };
        if self.put_text(key, text).await? == sha256 {
            return Ok(true);
        }
        Err(Error::LogDamaged(generation.generation.to_string(), "its blob has another hash than its record".into()))
    }

    /// A text up to [`OUTPUT_INLINE_BYTES_MAX`]. `None`: it is gone.
    ///
    /// # Errors
    /// [`Error::Aws`], also where the object cannot be read.
    pub async fn text(&self, key: &SubjectKey, sha256: &str, bytes: u64) -> Result<Option<String>, Error> {
        let Some(stored) = self.get(&Self::text_key(key, sha256, bytes)).await? else { return Ok(None) };
        let text = if is_packed(bytes) { unpack(&stored).map_err(|error| unexpected("s3 GetObject", error))? } else { stored };
        if sha256_hex(&text) != sha256 {
            return Err(unexpected("s3 GetObject", "a version's text has another hash than its row"));
        }
        String::from_utf8(text).map(Some).map_err(|error| unexpected("s3 GetObject", error))
    }

    /// A URL with which anyone may read a larger one for `ttl`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn text_url(&self, key: &SubjectKey, sha256: &str, bytes: u64, ttl: Duration) -> Result<String, Error> {
        self.presigned_url(&Self::text_key(key, sha256, bytes), ttl).await
    }
}

fn pack(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text)?;
    gzip.finish()
}

fn unpack(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    // The object is our own, and no longer than it says; a larger one is not read to its end.
    GzDecoder::new(packed).take(OUTPUT_INLINE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fit_the_embedded_s3_and_texts_unpack() {
        let key = SubjectKey::new("o".repeat(64).parse().unwrap(), "s".repeat(128).parse().unwrap());
        let text = "año ".repeat(2_000).into_bytes();
        let sha256 = sha256_hex(&text);
        assert_eq!(Blobs::text_key(&key, &sha256, text.len() as u64).len(), 120);
        assert_ne!(Blobs::text_key(&key, &sha256, 1), Blobs::text_key(&key, &sha256, text.len() as u64));
        assert_eq!(unpack(&pack(&text).unwrap()).unwrap(), text);
    }
}
