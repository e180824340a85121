//! A provider reached over HTTP: the request, its key, and the response as a stream of deltas. The dialect says what is sent and how
//! the response is read.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::try_unfold;
use futures::{StreamExt, TryStreamExt};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::sleep;

use super::decode::{Decode, StreamEnd};
use super::dialects::{anthropic, bedrock, chat_completions, gemini, ollama, responses};
use super::http_status;
use super::outgoing::Outgoing;
use super::settings::{Auth, Dialect, ProviderSettings};
use super::{Delta, DeltaStream, Fault, Provider, ProviderError, Resume, Sign, Upstream, body_deltas};
use crate::generation::request::Request;

/// The media types of the three kinds of streams.
const EVENT_STREAM: &str = "text/event-stream";
const AMAZON_EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const NDJSON: &str = "application/x-ndjson";

/// Between two looks at a response that the provider no longer streams.
const POLL_EVERY: Duration = Duration::from_secs(2);
/// Looks in a row that may fail.
const POLL_FAILURES_MAX: u32 = 10;
/// How long the answer to such a look is waited for.
const POLL_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the answer to a cancel is waited for.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one provider.
#[derive(Debug, Clone)]
pub struct HttpProvider {
    /// The HTTP client, which has the connect timeout.
    pub client: reqwest::Client,
    /// The key, unless the provider has none.
    pub key: Option<String>,
    /// Its settings.
    pub settings: ProviderSettings,
    /// Signs requests that have no key, where the provider requires that.
    pub signer: Option<Arc<dyn Sign>>,
}

/// The state of a poll.
#[derive(Default)]
struct Poll {
    /// It has looked before.
    waits: bool,
    /// Looks in a row that have failed.
    failures: u32,
    /// The response has ended, and its deltas were returned.
    end: Option<StreamEnd>,
}

impl Provider for HttpProvider {
    fn open<'a>(&'a self, request: &'a Request, resume: &'a Resume) -> BoxFuture<'a, Result<DeltaStream, ProviderError>> {
        Box::pin(async move { self.connect(request, resume).await.map_err(|error| error.without_key(self.key())) })
    }

    fn cancel<'a>(&'a self, response_id: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move { self.cancel_response(response_id).await.map_err(|error| error.without_key(self.key())) })
    }
}

impl HttpProvider {
    async fn connect(&self, request: &Request, resume: &Resume) -> Result<DeltaStream, ProviderError> {
        let Outgoing { path, headers, body } = match (self.settings.dialect, resume) {
            (Dialect::ChatCompletions, _) => chat_completions::outgoing(&self.settings, request, resume.prefix()),
            (Dialect::Anthropic, _) => anthropic::outgoing(request),
            (Dialect::Bedrock, _) => bedrock::outgoing(request),
            (Dialect::Gemini, _) => gemini::outgoing(request),
            (Dialect::Ollama, _) => ollama::outgoing(request),
            (Dialect::Responses, Resume::Upstream(upstream)) => responses::rest(upstream),
            (Dialect::Responses, _) => responses::outgoing(&self.settings, request),
        };
        let media_type = match self.settings.dialect {
            Dialect::Ollama => NDJSON,
            Dialect::Bedrock => AMAZON_EVENT_STREAM,
            _ => EVENT_STREAM,
        };
        let url = self.url(&path);
        let message = match &body {
            Some(body) => self.client.post(url).json(body),
            None => self.client.get(url),
        };
        let message = message.header(ACCEPT, media_type).headers(headers.into_iter().collect());
        let response = self.send(message).await?;
        let upstream = resume.upstream().cloned();
        if let Some(Upstream { id, cursor: None }) = upstream.clone().filter(|_| response.status() == StatusCode::BAD_REQUEST) {
            return Ok(self.clone().poll(id));
        }
        let response = http_status::expect_stream(response, media_type).await.map_err(|error| {
            let error = self.without_signed_text(self.with_hint(error));
            if upstream.is_some() { gone(error) } else { error }
        })?;
        Ok(body_deltas(&self.settings, response.bytes_stream().boxed(), self.key().to_owned(), upstream))
    }

    /// A response that the provider keeps and no longer streams, as it is at its end. OpenAI streams a response for some minutes after
    /// its creation, and works on. A look that fails is repeated: the response is worth more than that.
    fn poll(self, id: String) -> DeltaStream {
        let key = self.key().to_owned();
        let polls = try_unfold(Poll::default(), move |poll| {
            let (provider, id) = (self.clone(), id.clone());
            async move {
                let Poll { waits, failures, end } = poll;
                if let Some(end) = end {
                    return end.map(|()| None);
                }
                if waits {
                    sleep(POLL_EVERY).await;
                }
                let next = |failures| Some((vec![Delta::Alive], Poll { waits: true, failures, end: None }));
                match provider.look(&id).await {
                    Ok(None) => Ok(next(0)),
                    Ok(Some((deltas, end))) => Ok(Some((deltas, Poll { end: Some(end), ..Poll::default() }))),
                    Err(error) if error.is_retryable() && failures < POLL_FAILURES_MAX => Ok(next(failures + 1)),
                    Err(error) => Err(error),
                }
            }
        });
        polls.map_err(move |error: ProviderError| error.without_key(&key)).boxed()
    }

    /// What a response has come to, and how it ended; `None`: it has not ended.
    async fn look(&self, id: &str) -> Result<Option<(Vec<Delta>, StreamEnd)>, ProviderError> {
        let get = self.client.get(self.url(&responses::path(id))).timeout(POLL_TIMEOUT);
        let response = self.send(get).await?;
        if !response.status().is_success() {
            return Err(gone(http_status::refused(response).await));
        }
        let body = http_status::bounded_body(response).await?;
        let Some(event) = responses::last_event(&body)? else { return Ok(None) };
        let upstream = Upstream { id: id.to_owned(), cursor: None };
        let mut decoder = responses::Decoder::new(self.settings.finish_reasons.clone(), true, Some(upstream));
        let (deltas, end) = decoder.decode_batch(vec![Ok(event)]);
        Ok(Some((deltas, end.unwrap_or(Ok(())))))
    }

    /// A response that has ended, or that the provider no longer has, needs no cancel.
    async fn cancel_response(&self, response_id: &str) -> Result<(), ProviderError> {
        if !responses::is_kept(&self.settings) {
            return Ok(());
        }
        // Some servers require the length of a body that is not there.
        let post = self.client.post(self.url(&responses::cancel_path(response_id))).header(CONTENT_LENGTH, 0);
        let response = self.send(post.timeout(CANCEL_TIMEOUT)).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(http_status::refused(response).await),
        }
    }

    /// Sends a message with the provider's key, or signed.
    async fn send(&self, message: RequestBuilder) -> Result<Response, ProviderError> {
        let mut message = message.headers(self.auth_headers()?).build().map_err(|error| http_status::unreachable(&error))?;
        if let Some(signer) = &self.signer {
            signer.sign(&mut message).await?;
        }
        self.client.execute(message).await.map_err(|error| http_status::unreachable(&error))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.base_url.trim_end_matches('/'))
    }

    /// AWS may quote what it would have signed, the session token included.
    fn without_signed_text(&self, error: ProviderError) -> ProviderError {
        let message = error.message.split("The Canonical String").next().unwrap_or_default().trim_end().to_owned();
        if self.signer.is_some() { ProviderError { message, ..error } } else { error }
    }

    /// An answer of 401 to a request without a key says so: the provider cannot know the name of the setting.
    fn with_hint(&self, error: ProviderError) -> ProviderError {
        if error.status != Some(401) || self.key.is_some() || matches!(self.settings.auth, Auth::None | Auth::SigV4) {
            return error;
        }
        let hint = match &self.settings.key_env {
            Some(variable) => format!("no key was sent, because {variable} is not set"),
            None => "no key was sent, because the provider's settings name none".to_owned(),
        };
        let message = format!("{}; {hint}", error.message);
        ProviderError { message, ..error }
    }

    fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    fn auth_headers(&self) -> Result<HeaderMap, ProviderError> {
        let (name, value) = match (&self.settings.auth, &self.key) {
            (Auth::Bearer | Auth::SigV4, Some(key)) => (AUTHORIZATION, format!("Bearer {key}")),
            (Auth::Header(name), Some(key)) => (name.clone(), key.clone()),
            (Auth::None, _) | (_, None) => return Ok(HeaderMap::new()),
        };
        let invalid =
            |_| ProviderError::new(Fault::Unreachable, "the provider's key has characters that no HTTP header can hold");
        let mut value = HeaderValue::try_from(value).map_err(invalid)?;
        value.set_sensitive(true);
        Ok([(name, value)].into_iter().collect())
    }
}

/// The error of a read of a response that the provider has not, or does not stream any more.
fn gone(error: ProviderError) -> ProviderError {
    let is_gone = error.fault == Fault::NotAStream || matches!(error.status, Some(400 | 404 | 410));
    ProviderError { fault: if is_gone { Fault::Gone } else { error.fault }, ..error }
}
