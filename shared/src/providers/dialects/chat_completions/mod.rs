//! `POST {base}/chat/completions`, streamed: the dialect of `OpenAI`, `RouteLLM`, vLLM, llama.cpp, Ollama, `LiteLLM` and others.
//!
//! Responses are read leniently: fields may be unknown, missing or null, and a finish reason may be unknown. But an event that
//! cannot be read is an error: it might have held text.

mod calls;
mod decoder;
mod messages;
mod wire;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::try_unfold;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use self::decoder::{Decoder, StreamEnd};
pub use self::messages::chat_messages;
use crate::generation::request::Request;
use crate::providers::http_status;
use crate::providers::sse::batches;
use crate::providers::{Auth, Continuation, DeltaStream, Fault, OwnFinishWords, Provider, ProviderError};

/// A client of one provider.
#[derive(Debug, Clone)]
pub struct ChatCompletions {
    /// The HTTP client, which has the connect timeout.
    pub client: reqwest::Client,
    /// Up to and including the version.
    pub base_url: String,
    /// The key, unless the provider has none.
    pub key: Option<String>,
    /// How the key is sent.
    pub auth: Auth,
    /// The provider's name for the limit on output tokens.
    pub max_tokens_name: String,
    /// How the provider resumes an answer; `None`: a prefix is not sent.
    pub continuation: Option<Continuation>,
    /// Whether usage is requested by `stream_options`.
    pub stream_options: bool,
    /// Finish reasons of this provider alone.
    pub finish_reasons: OwnFinishWords,
}

impl Provider for ChatCompletions {
    fn open<'a>(&'a self, request: &'a Request, prefix: &'a str) -> BoxFuture<'a, Result<DeltaStream, ProviderError>> {
        Box::pin(async move {
            self.post(request, prefix).await.map_err(|error| error.without_key(self.key.as_deref().unwrap_or_default()))
        })
    }
}

impl ChatCompletions {
    async fn post(&self, request: &Request, prefix: &str) -> Result<DeltaStream, ProviderError> {
        let url = format!("{}/chat/completions", self.base_url.trim_end_matches('/'));
        let post = self.client.post(url).header(ACCEPT, "text/event-stream").headers(self.auth_headers()?);
        let response = post.json(&self.body(request, prefix)).send().await.map_err(|error| http_status::unreachable(&error))?;
        let response = http_status::expect_event_stream(response).await?;
        let key = self.key.clone().unwrap_or_default();
        Ok(chat_completion_deltas(response.bytes_stream(), key, self.finish_reasons.clone()))
    }

    fn auth_headers(&self) -> Result<HeaderMap, ProviderError> {
        let (name, value) = match (&self.auth, &self.key) {
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

    /// The request in this dialect. The caller's `provider_options` go in last but cannot turn streaming off.
    fn body(&self, request: &Request, prefix: &str) -> Value {
        let mut messages = chat_messages(request.conversation());
        let continuation = self.continuation.filter(|_| !prefix.is_empty());
        if continuation.is_some() {
            messages.push(json!({ "role": "assistant", "content": prefix }));
        }
        let mut body = json!({ "model": request.model, "messages": messages });
        let optional = [
            ("temperature", request.temperature.map(Value::from)),
            ("top_p", request.top_p.map(Value::from)),
            (self.max_tokens_name.as_str(), request.max_output_tokens.map(Value::from)),
            ("stop", request.stop.clone()),
            ("seed", request.seed.map(Value::from)),
            ("response_format", request.response_format.clone()),
            ("tools", request.tools.clone()),
            ("tool_choice", request.tool_choice.clone()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        for (name, value) in &request.provider_options {
            body[name] = value.clone();
        }
        if continuation == Some(Continuation::ContinueFinalMessage) {
            body["continue_final_message"] = true.into();
            body["add_generation_prompt"] = false.into();
        }
        body["stream"] = true.into();
        // One answer: there is no place for another.
        if let Some(fields) = body.as_object_mut() {
            fields.shift_remove("n");
        }
        if self.stream_options {
            body["stream_options"] = json!({ "include_usage": true });
        }
        body
    }
}

/// The deltas of a body, up to `[DONE]` or the body's end. An error's message never contains `key`. `finish_reasons`: the
/// provider's own, beside the dialect's.
pub fn chat_completion_deltas<S, E>(body: S, key: String, finish_reasons: OwnFinishWords) -> DeltaStream
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + 'static,
{
    let start = (batches(body), Decoder::new(finish_reasons), None::<StreamEnd>);
    let deltas = try_unfold(start, |(mut events, mut decoder, end)| async move {
        // What a gateway leaves open behind `[DONE]` is not waited for.
        if let Some(end) = end {
            return end.map(|()| None);
        }
        let (deltas, end) = match events.next().await {
            Some(batch) => decoder.decode_batch(batch),
            None => (decoder.finish(), Some(Ok(()))),
        };
        Ok(Some((deltas, (events, decoder, end))))
    });
    deltas.map_err(move |error: ProviderError| error.without_key(&key)).boxed()
}

#[cfg(test)]
mod tests;
