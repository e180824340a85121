//! The tap sees every call that a function sends to AWS or to a provider, and may let it fail.
//!
//! It is injected through [`Parts`]: as the SDK's HTTP client, so that the SDK's retries above it are the real ones, and around
//! every provider.

mod aws;
mod provider;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use longhand::app::Parts;
use longhand_local::PartsOf;

/// One request before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// `dynamodb`, `s3`, `lambda`, `secretsmanager`, `sqs`; or `provider`.
    pub service: &'static str,
    /// The operation, as IAM spells it: `PutItem`. For a provider, `open`.
    pub operation: String,
    /// `table` or `table/index/name`, `bucket/key`, the name of a function, of a secret or of a provider.
    pub resource: String,
    /// The items of a table that the call names, each with its own operation. A query has one item, its partition; a batch has
    /// none.
    pub items: Vec<Item>,
}

/// An item of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// The operation, as IAM spells it: `PutItem`. IAM allows a transaction where it allows each of these.
    pub operation: String,
    /// The table's name.
    pub table: String,
    /// The item's partition key.
    pub partition: String,
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.service, self.operation)
    }
}

/// What the tap does with a call.
pub enum Action {
    /// Sends it and returns the answer.
    Pass,
    /// Does not send it.
    Refuse(Fault),
    /// Sends it, so that it takes effect, and holds the answer back until `until` is ready.
    Hold {
        /// Ends the delay.
        until: BoxFuture<'static, ()>,
        /// Whether the caller gets a broken connection instead of the answer.
        lost: bool,
    },
}

/// What the caller gets instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A broken connection.
    Broken,
    /// An answer that the service did not give.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
}

/// Decides on calls, one after the other.
pub trait Tap: fmt::Debug + Send + Sync {
    /// Called before `call` is sent. The call waits for the returned action.
    fn call(&self, call: Call) -> BoxFuture<'static, Action>;

    /// Called when an AWS service has answered `call` with this HTTP status.
    fn answered(&self, _call: &Call, _status: u16) {}
}

/// `parts` with `tap` in front of everything that they reach.
#[must_use]
pub fn in_front_of(parts: Parts, tap: Arc<dyn Tap>) -> Parts {
    let client = parts.http_client.expect("the client of the stack's services");
    let http_client = aws::tapped(client, Arc::clone(&tap));
    let (inner, stopping) = (parts.wrap_provider, parts.stopping);
    let wrap_provider: longhand::app::WrapProvider = Arc::new(move |provider| {
        let provider = inner.as_ref().map_or(Arc::clone(&provider), |wrap| wrap(provider));
        Arc::new(provider::TappedProvider { provider, tap: Arc::clone(&tap) })
    });
    Parts { http_client: Some(http_client), wrap_provider: Some(wrap_provider), stopping }
}

/// The parts of a stack whose function with the handler `handler` has the tap `tap(handler)`.
#[must_use]
pub fn taps<T: Tap + 'static>(tap: impl Fn(&str) -> T + Send + Sync + 'static) -> PartsOf {
    PartsOf::new(move |handler, services| {
        in_front_of(Parts { http_client: Some(services), ..Parts::default() }, Arc::new(tap(handler)))
    })
}
