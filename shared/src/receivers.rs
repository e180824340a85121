//! Sends deliveries to receivers: addresses that callers have chosen, so that none is trusted.
//!
//! Every connection is made to an address that [`address::is_allowed`] allows: the resolver leaves out all others, and what it leaves is what is
//! connected to, so that a name cannot lead elsewhere in between. Addresses that stand in a URL pass no resolver, so each URL is checked before
//! each try. Redirects are not followed, no proxy is used, and no more of an answer is read than is kept.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use tokio::time::timeout_at;

use crate::error::Error;
use crate::limits::{WEBHOOK_ANSWER_KEPT_MAX, WEBHOOK_ANSWER_READ_MAX, WEBHOOK_CONNECT_TIMEOUT};
use crate::notifications::address::{self, Doors};
use crate::notifications::schedule::Answer;
use crate::retry;

/// By which a receiver asks that an event is not sent again (Svix and others).
const DELIVERY_HEADER: &str = "webhook-delivery";
const ABORT: &str = "abort-message";
const USER_AGENT: &str = concat!("Longhand/", env!("CARGO_PKG_VERSION"));

/// The error of a name or an address that is not public.
pub const ADDRESS_REFUSED: &str = "address_refused";

/// Looks names up.
pub type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Where to.
    pub url: String,
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`; none for a receiver that verifies nothing.
    pub headers: Vec<(&'static str, String)>,
    /// A JSON text.
    pub body: String,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// How long it took.
    pub took: Duration,
    /// The beginning of the answer's body, as text.
    pub text: Option<String>,
}

/// Sends to receivers. Clones share the connections.
#[derive(Clone)]
pub struct Receivers {
    doors: Doors,
    timeout: Duration,
    look_up: LookUp,
    client: Arc<OnceLock<reqwest::Client>>,
}

impl Receivers {
    /// Sends to what `doors` leave open; a try takes at most `timeout`.
    #[must_use]
    pub fn new(doors: Doors, timeout: Duration) -> Self {
        Self::with(doors, timeout, Arc::new(|name| Box::pin(look_up(name))))
    }

    /// The same, with another way to look names up.
    #[must_use]
    pub fn with(doors: Doors, timeout: Duration, look_up: LookUp) -> Self {
        Self { doors, timeout, look_up, client: Arc::default() }
    }

    /// Sends a parcel once. What goes wrong is an [`Answer::Error`].
    ///
    /// # Errors
    /// [`Error::Configuration`]: there can be no client.
    pub async fn send(&self, parcel: Parcel) -> Result<Reply, Error> {
        let (began, client) = (Instant::now(), self.client()?);
        let reply = |answer, text| Reply { answer, took: began.elapsed(), text };
        // Again before each try: rules may have changed since the endpoint was made.
        let Ok(url) = address::receiver(&parcel.url, self.doors) else {
            return Ok(reply(Answer::Error(ADDRESS_REFUSED), None));
        };
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for (name, value) in parcel.headers {
            let value = HeaderValue::from_str(&value).map_err(|error| Error::Internal(format!("{name}: {error}")))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        match client.post(url).headers(headers).body(parcel.body).send().await {
            Ok(response) => {
                let answer = answer(&response);
                let text = beginning(response, began + self.timeout).await;
                Ok(reply(answer, text))
            }
            Err(error) => Ok(reply(Answer::Error(cause(&error)), None)),
        }
    }

    /// The client is built at its first use: loading the TLS roots takes most of a cold start.
    fn client(&self) -> Result<reqwest::Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let resolver = PublicOnly { doors: self.doors, look_up: Arc::clone(&self.look_up) };
        let client = reqwest::Client::builder()
            .connect_timeout(WEBHOOK_CONNECT_TIMEOUT.min(self.timeout))
            .timeout(self.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(USER_AGENT)
            .dns_resolver(Arc::new(resolver))
            .build()
            .map_err(|error| Error::Configuration(format!("the HTTP client for receivers cannot be built: {error}")))?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

async fn look_up(name: String) -> std::io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
}

/// A resolver that knows public addresses alone.
struct PublicOnly {
    doors: Doors,
    look_up: LookUp,
}

/// A name leads to no address that may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to no public address")]
struct NoPublicAddress;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let (doors, found) = (self.doors, (self.look_up)(name.as_str().to_owned()));
        Box::pin(async move {
            let mut addresses = found.await?;
            addresses.retain(|address| address::is_allowed(*address, doors));
            if addresses.is_empty() {
                return Err(NoPublicAddress.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

fn answer(response: &reqwest::Response) -> Answer {
    let text = |name: &HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let retry_after = text(&RETRY_AFTER).and_then(|value| retry::after(value, jiff::Timestamp::now()));
    let is_abort = text(&HeaderName::from_static(DELIVERY_HEADER)).is_some_and(|value| value.eq_ignore_ascii_case(ABORT));
    Answer::Status { code: response.status().as_u16(), retry_after, is_abort }
}

/// The beginning of a body, as far as it comes in time. A receiver that drips, or sends without an end, has answered all the same.
async fn beginning(mut response: reqwest::Response, until: Instant) -> Option<String> {
    let mut read = Vec::new();
    while read.len() < WEBHOOK_ANSWER_READ_MAX {
        match timeout_at(until.into(), response.chunk()).await {
            Ok(Ok(Some(chunk))) => read.extend_from_slice(&chunk[..chunk.len().min(WEBHOOK_ANSWER_READ_MAX - read.len())]),
            _ => break,
        }
    }
    let text = String::from_utf8_lossy(&read);
    let mut end = text.len().min(WEBHOOK_ANSWER_KEPT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(text[..end].to_owned()).filter(|text| !text.is_empty())
}

/// Why there was no answer, in a word.
fn cause(error: &reqwest::Error) -> &'static str {
    let mut inner = error.source();
    while let Some(cause) = inner {
        if cause.is::<NoPublicAddress>() {
            return ADDRESS_REFUSED;
        }
        inner = cause.source();
    }
    match error {
        _ if error.is_timeout() => "timeout",
        _ if error.is_connect() => "cannot_connect",
        _ => "broken_connection",
    }
}

#[cfg(test)]
#[path = "receivers_tests.rs"]
mod tests;
