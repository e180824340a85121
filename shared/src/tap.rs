//! The tap: sees every call that leaves for AWS or for a provider, and may spoil it.
//!
//! It sits where the SDK hands a request to its HTTP client, so that the SDK's own retries, and what this crate makes of their
//! end, are the real ones. Without a tap nothing is between the two.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use crate::generation::request::Request;
use crate::providers::{DeltaStream, Fault, Provider, ProviderError};

/// One request on its way out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// `dynamodb`, `s3`, `lambda`, `secretsmanager`; or `provider`.
    pub service: &'static str,
    /// The operation, as IAM spells it: `PutItem`. For a provider, the path.
    pub operation: String,
    /// What it is about: `table` or `table/index/name`, `bucket/key`, the function, the secret.
    pub resource: String,
    /// The items of a table that it names, each with what is done to it: one, or as many as a transaction has. A query names a
    /// partition; of a batch they are not told.
    pub items: Vec<Item>,
}

/// An item of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// As IAM spells it: `PutItem`. A transaction is allowed where each of these is.
    pub operation: String,
    /// Its table.
    pub table: String,
    /// Its partition key.
    pub partition: String,
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.service, self.operation)
    }
}

/// What becomes of a call.
pub enum Fate {
    /// It goes out, and its answer comes back.
    Pass,
    /// It does not go out.
    Refuse(Sickness),
    /// It goes out and takes effect. Its answer is held until `until`, and then lost if `lost`.
    Hold {
        /// When the answer may go on.
        until: BoxFuture<'static, ()>,
        /// Whether the connection breaks instead.
        lost: bool,
    },
}

/// What the caller meets in the place of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sickness {
    /// The connection breaks.
    Broken,
    /// Another answer.
    Answer {
        /// Its HTTP status.
        status: u16,
        /// Its body.
        body: String,
    },
}

/// Decides on calls, one after the other.
pub trait Tap: fmt::Debug + Send + Sync {
    /// Called before `call` goes out, which waits for the answer.
    fn call(&self, call: Call) -> BoxFuture<'static, Fate>;

    /// Called when a service, and no provider, has answered `call` with this HTTP status.
    fn answered(&self, _call: &Call, _status: u16) {}
}

/// A provider behind a tap.
pub(crate) struct TappedProvider {
    pub provider: Arc<dyn Provider>,
    pub tap: Arc<dyn Tap>,
}

impl Provider for TappedProvider {
    fn open<'a>(&'a self, request: &'a Request, prefix: &'a str) -> BoxFuture<'a, Result<DeltaStream, ProviderError>> {
        let call = Call {
            service: "provider",
            operation: "chat/completions".into(),
            resource: request.provider.clone(),
            items: Vec::new(),
        };
        let broken = || ProviderError::new(Fault::Unreachable, "the connection broke");
        Box::pin(async move {
            match self.tap.call(call).await {
                Fate::Pass => self.provider.open(request, prefix).await,
                Fate::Refuse(Sickness::Broken) => Err(broken()),
                Fate::Refuse(Sickness::Answer { status, body }) => {
                    let fault = if status == 429 { Fault::RateLimited } else { Fault::Unavailable };
                    Err(ProviderError::new(fault, format!("the provider answered {status}: {body}")))
                }
                Fate::Hold { until, lost } => {
                    let stream = self.provider.open(request, prefix).await?;
                    if lost {
                        until.await;
                        return Err(broken());
                    }
                    Ok(futures::stream::once(until.map(|()| Ok(Vec::new()))).chain(stream).boxed())
                }
            }
        })
    }
}
