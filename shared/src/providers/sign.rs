//! Signatures for providers that know their callers by AWS credentials.

use std::fmt::Debug;

use futures::future::BoxFuture;
use reqwest::Request;

use super::ProviderError;

/// Signs requests.
pub trait Sign: Debug + Send + Sync {
    /// Adds the headers of a signature.
    ///
    /// # Errors
    /// [`ProviderError`]: there are no credentials, or the request cannot be signed.
    fn sign<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<(), ProviderError>>;
}
