//! A provider reached over HTTP: the request, its key, and the response as a stream of deltas. The dialect says what is sent and how
//! the response is read.

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};

use super::decode::{decoded, deltas};
use super::dialects::{anthropic, chat_completions, gemini, ollama};
use super::http_status;
use super::ndjson::lines;
use super::settings::{Auth, Dialect, ProviderSettings};
use super::{DeltaStream, Fault, Provider, ProviderError};
use crate::generation::request::Request;

/// The media types of the two kinds of streams.
const EVENT_STREAM: &str = "text/event-stream";
const NDJSON: &str = "application/x-ndjson";

/// A client of one provider.
#[derive(Debug, Clone)]
pub struct HttpProvider {
    /// The HTTP client, which has the connect timeout.
    pub client: reqwest::Client,
    /// The key, unless the provider has none.
    pub key: Option<String>,
    /// Its settings.
    pub settings: ProviderSettings,
}

impl Provider for HttpProvider {
    fn open<'a>(&'a self, request: &'a Request, prefix: &'a str) -> BoxFuture<'a, Result<DeltaStream, ProviderError>> {
        Box::pin(async move { self.post(request, prefix).await.map_err(|error| error.without_key(self.key())) })
    }
}

impl HttpProvider {
    async fn post(&self, request: &Request, prefix: &str) -> Result<DeltaStream, ProviderError> {
        let outgoing = match self.settings.dialect {
            Dialect::ChatCompletions => chat_completions::outgoing(&self.settings, request, prefix),
            Dialect::Anthropic => anthropic::outgoing(request),
            Dialect::Gemini => gemini::outgoing(request),
            Dialect::Ollama => ollama::outgoing(request),
        };
        let media_type = if self.settings.dialect == Dialect::Ollama { NDJSON } else { EVENT_STREAM };
        let url = format!("{}{}", self.settings.base_url.trim_end_matches('/'), outgoing.path);
        let post = self.client.post(url).header(ACCEPT, media_type).headers(self.auth_headers()?);
        let post = post.headers(outgoing.headers.into_iter().collect()).json(&outgoing.body);
        let response = post.send().await.map_err(|error| http_status::unreachable(&error))?;
        let response = http_status::expect_stream(response, media_type).await.map_err(|error| self.with_hint(error))?;
        let body = response.bytes_stream();
        Ok(self.deltas(body.boxed()))
    }

    fn deltas(&self, body: BoxStream<'static, reqwest::Result<Bytes>>) -> DeltaStream {
        let words = self.settings.finish_reasons.clone();
        match self.settings.dialect {
            Dialect::ChatCompletions => deltas(body, self.key().to_owned(), chat_completions::Decoder::new(words)),
            Dialect::Anthropic => deltas(body, self.key().to_owned(), anthropic::Decoder::new(words)),
            Dialect::Gemini => deltas(body, self.key().to_owned(), gemini::Decoder::new(words)),
            Dialect::Ollama => decoded(lines(body), self.key().to_owned(), ollama::Decoder::new(words)),
        }
    }

    /// An answer of 401 to a request without a key says so: the provider cannot know the name of the setting.
    fn with_hint(&self, error: ProviderError) -> ProviderError {
        if error.status != Some(401) || self.key.is_some() || self.settings.auth == Auth::None {
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
            (Auth::Bearer, Some(key)) => (AUTHORIZATION, format!("Bearer {key}")),
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
