//! Verifies a body against the checksums in its request, before the object becomes visible.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::http::HeaderMap;
use futures::Stream;
use s3s::{
    S3Error, S3Request, TrailingHeaders,
    checksum::ChecksumHasher,
    dto::{Checksum, StreamingBlob},
    s3_error,
    stream::{ByteStream, RemainingLength},
};

const ALGORITHMS: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

/// The checksums of a body, available once it has been read to its end.
#[derive(Clone, Default)]
pub struct Digest(Arc<Mutex<Outcome>>);

#[derive(Default)]
struct Outcome {
    checksum: Checksum,
    wrong: Option<&'static str>,
}

impl Digest {
    /// Wraps `body` so that it ends in an error if a checksum in the request's headers or trailers does not match.
    pub fn verify<T>(request: &S3Request<T>, body: StreamingBlob) -> (Self, StreamingBlob) {
        let digest = Self::default();
        let sent: Vec<_> = ALGORITHMS.into_iter().filter(|name| is_sent(&request.headers, name)).collect();
        let verified = Verified {
            body,
            hasher: Some(hasher(&sent)),
            sent,
            headers: request.headers.clone(),
            trailers: request.trailing_headers.clone(),
            digest: digest.clone(),
        };
        (digest, StreamingBlob::new(verified))
    }

    /// The checksums of the algorithms that the request names.
    pub fn checksum(&self) -> Checksum {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).checksum.clone()
    }

    /// The error to return: `BadDigest` if a checksum did not match, or else `error`.
    pub fn refine(&self, error: S3Error) -> S3Error {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).wrong {
            Some(name) => s3_error!(BadDigest, "The {name} checksum in the request does not match the body."),
            None => error,
        }
    }
}

fn header(name: &str) -> String {
    format!("x-amz-checksum-{name}")
}

fn is_sent(headers: &HeaderMap, name: &str) -> bool {
    let trailers = headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
    headers.contains_key(header(name))
        || trailers.flat_map(|names| names.split(',')).any(|trailer| trailer.trim() == header(name))
}

fn hasher(names: &[&str]) -> ChecksumHasher {
    ChecksumHasher {
        crc32: names.contains(&"crc32").then(Default::default),
        crc32c: names.contains(&"crc32c").then(Default::default),
        crc64nvme: names.contains(&"crc64nvme").then(Default::default),
        sha1: names.contains(&"sha1").then(Default::default),
        sha256: names.contains(&"sha256").then(Default::default),
    }
}

fn of<'a>(checksum: &'a Checksum, name: &str) -> Option<&'a str> {
    match name {
        "crc32" => checksum.checksum_crc32.as_deref(),
        "crc32c" => checksum.checksum_crc32c.as_deref(),
        "crc64nvme" => checksum.checksum_crc64nvme.as_deref(),
        "sha1" => checksum.checksum_sha1.as_deref(),
        _ => checksum.checksum_sha256.as_deref(),
    }
}

struct Verified {
    body: StreamingBlob,
    hasher: Option<ChecksumHasher>,
    sent: Vec<&'static str>,
    headers: HeaderMap,
    trailers: Option<TrailingHeaders>,
    digest: Digest,
}

impl Verified {
    fn finish(&mut self) -> Result<(), WrongChecksum> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let checksum = hasher.finalize();
        let wrong = self.sent.iter().copied().find(|name| {
            let in_header = self.headers.get(header(name)).cloned();
            let in_trailer = || self.trailers.as_ref()?.read(|trailers| trailers.get(header(name)).cloned())?;
            let expected = in_header.or_else(in_trailer);
            expected.is_none_or(|expected| expected.to_str().ok() != of(&checksum, name))
        });
        let mut outcome = self.digest.0.lock().unwrap_or_else(PoisonError::into_inner);
        *outcome = Outcome { checksum, wrong };
        wrong.map_or(Ok(()), |_| Err(WrongChecksum))
    }
}

impl Stream for Verified {
    type Item = Result<axum::body::Bytes, s3s::StdError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let verified = self.get_mut();
        match Pin::new(&mut verified.body).poll_next(context) {
            Poll::Ready(Some(Ok(bytes))) => {
                if let Some(hasher) = &mut verified.hasher {
                    hasher.update(&bytes);
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(None) => Poll::Ready(verified.finish().err().map(|error| Err(error.into()))),
            other => other,
        }
    }
}

impl ByteStream for Verified {
    fn remaining_length(&self) -> RemainingLength {
        self.body.remaining_length()
    }
}

#[derive(Debug)]
struct WrongChecksum;

impl fmt::Display for WrongChecksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the checksum in the request does not match the body")
    }
}

impl std::error::Error for WrongChecksum {}
