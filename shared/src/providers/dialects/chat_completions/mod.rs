//! `POST {base}/chat/completions`, streamed: the dialect of `OpenAI`, `RouteLLM`, vLLM, llama.cpp, Ollama, `LiteLLM` and others.
//!
//! Read loosely: unknown fields, missing ones, `"choices":null` and unknown finish reasons all occur. But nothing is skipped
//! that might have held text: an event that cannot be read is an error.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::generation::request::Request;
use crate::generation::usage::Usage;
use crate::limits::{PROVIDER_NAME_BYTES_MAX, PROVIDER_TOOL_CALLS_MAX};
use crate::providers::http_status;
use crate::providers::sse::{SseEvent, batches};
use crate::providers::{Continuation, Delta, DeltaStream, Fault, HalfPairs, Provider, ProviderError, ToolCallDelta, WireText};

/// A provider of this dialect.
#[derive(Debug, Clone)]
pub struct ChatCompletions {
    /// The HTTP client; its connect timeout is the first of the four.
    pub client: reqwest::Client,
    /// Up to and including the version.
    pub base_url: String,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// What this provider calls the limit on output tokens.
    pub max_tokens_name: String,
    /// How it is asked to go on from a prefix; without it a prefix is not sent.
    pub continuation: Option<Continuation>,
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
        let mut post = self.client.post(url).header("accept", "text/event-stream").json(&self.body(request, prefix));
        if let Some(key) = &self.key {
            post = post.bearer_auth(key);
        }
        let response = post.send().await.map_err(|error| http_status::unreachable(&error))?;
        let response = http_status::expect_event_stream(response).await?;
        Ok(chat_completion_deltas(response.bytes_stream(), self.key.clone().unwrap_or_default()))
    }

    /// The request in this dialect. The caller's `provider_options` go in last but cannot turn streaming off.
    fn body(&self, request: &Request, prefix: &str) -> Value {
        let mut body = json!({ "model": request.model, "messages": request.chat_messages() });
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
        if let Some(continuation) = self.continuation.filter(|_| !prefix.is_empty()) {
            let mut messages = request.chat_messages();
            messages.push(json!({ "role": "assistant", "content": prefix }));
            body["messages"] = messages.into();
            if continuation == Continuation::ContinueFinalMessage {
                body["continue_final_message"] = true.into();
                body["add_generation_prompt"] = false.into();
            }
        }
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
        body
    }
}

/// The deltas of a body, to `[DONE]` or to its end. An error's message never repeats `key`.
pub fn chat_completion_deltas<S, E>(body: S, key: String) -> DeltaStream
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + 'static,
{
    let mut decoder = Decoder::default();
    let steps = batches(body).flat_map(move |events| futures::stream::iter(decoder.decode_batch(events)));
    // `[DONE]` ends the stream: whatever a gateway leaves open behind it is not waited for.
    let until_done = steps.take_while(|step| futures::future::ready(!matches!(step, Step::Done)));
    until_done
        .filter_map(move |step| {
            futures::future::ready(match step {
                Step::Deltas(deltas) => Some(Ok(deltas)),
                Step::Failed(error) => Some(Err(error.without_key(&key))),
                Step::Done => None,
            })
        })
        .boxed()
}

enum Step {
    Deltas(Vec<Delta>),
    Failed(ProviderError),
    Done,
}

#[derive(Default)]
struct Decoder {
    text: HalfPairs,
    reasoning: HalfPairs,
    refusal: HalfPairs,
    calls: BTreeMap<u32, HalfPairs>,
    model_told: bool,
    /// The limit at which the output was cut off, once that is told: no later finish reason takes it back.
    limit: Option<String>,
}

#[derive(Deserialize)]
struct ChunkWire {
    choices: Option<Vec<ChoiceWire>>,
    usage: Option<Value>,
    error: Option<Value>,
    model: Option<String>,
    // What the events of other dialects have, and no chunk of this one.
    #[serde(rename = "type")]
    kind: Option<Value>,
    candidates: Option<IgnoredAny>,
    #[serde(rename = "promptFeedback")]
    prompt_feedback: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ChoiceWire {
    index: Option<u32>,
    delta: Option<DeltaWire>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct DeltaWire {
    content: Option<WireText>,
    reasoning: Option<WireText>,
    reasoning_content: Option<WireText>,
    refusal: Option<WireText>,
    tool_calls: Option<Vec<ToolCallWire>>,
}

#[derive(Deserialize)]
struct ToolCallWire {
    index: Option<u32>,
    id: Option<String>,
    function: Option<FunctionWire>,
}

#[derive(Deserialize)]
struct FunctionWire {
    name: Option<String>,
    arguments: Option<WireText>,
}

impl Decoder {
    fn decode_batch(&mut self, events: Vec<Result<SseEvent, ProviderError>>) -> Vec<Step> {
        let mut deltas = Vec::with_capacity(events.len());
        let mut ending = None;
        for event in events {
            match event.and_then(|event| self.decode(&event, &mut deltas)) {
                Ok(false) => {}
                Ok(true) => ending = Some(Step::Done),
                Err(error) => ending = Some(Step::Failed(error)),
            }
            if ending.is_some() {
                break;
            }
        }
        let mut steps = vec![Step::Deltas(deltas)];
        // After an error nothing more is read: what follows it is not known to be whole.
        let failed = matches!(ending, Some(Step::Failed(_)));
        steps.extend(ending);
        steps.extend(failed.then_some(Step::Done));
        steps
    }

    /// Reads one event into `deltas`; `true` is the end of the stream.
    fn decode(&mut self, event: &SseEvent, deltas: &mut Vec<Delta>) -> Result<bool, ProviderError> {
        let data = event.data.trim();
        if data == "[DONE]" {
            return Ok(true);
        }
        if data.is_empty() {
            return Ok(false);
        }
        let chunk: ChunkWire = match serde_json::from_str(data) {
            Ok(chunk) => chunk,
            // The stream broke off in the middle of it: the missing finish reason will tell.
            Err(_) if event.is_unterminated => return Ok(false),
            Err(_) if event.event.as_deref() == Some("error") => return Err(http_status::reported_error(&data.into())),
            Err(error) => {
                // Where, and not what: the reader's own words would repeat the output.
                let at = format!("line {} column {}", error.line(), error.column());
                let message = format!("the provider sent an event that is not a chat completion chunk (at {at})");
                return Err(ProviderError::new(Fault::Unreadable, message));
            }
        };
        if let Some(error) = chunk.error.as_ref().filter(|error| !error.is_null()) {
            return Err(http_status::reported_error(error));
        }
        if event.event.as_deref() == Some("error") {
            return Err(http_status::unnamed_error(data));
        }
        if let Some(what) = chunk.other_dialect() {
            let message =
                format!("the provider's events are not those of chat completions: the first of another kind has {what}");
            return Err(ProviderError::new(Fault::NotAStream, message));
        }
        check_name("model", chunk.model.as_deref())?;
        if let Some(model) = chunk.model.filter(|model| !self.model_told && !model.is_empty()) {
            self.model_told = true;
            deltas.push(Delta::Model(model));
        }
        // Only the first choice: one generation asks for one answer.
        for choice in chunk.choices.into_iter().flatten().filter(|choice| choice.index.unwrap_or(0) == 0) {
            self.choice(choice, deltas)?;
        }
        if let Some(usage) = chunk.usage.as_ref().and_then(usage) {
            deltas.push(Delta::Usage(usage));
        }
        Ok(false)
    }

    fn choice(&mut self, choice: ChoiceWire, deltas: &mut Vec<Delta>) -> Result<(), ProviderError> {
        if let Some(delta) = choice.delta {
            for reasoning in [delta.reasoning_content, delta.reasoning].into_iter().flatten() {
                deltas.push(Delta::Reasoning(self.reasoning.push(reasoning)));
            }
            if let Some(content) = delta.content {
                deltas.push(Delta::Text(self.text.push(content)));
            }
            if let Some(refusal) = delta.refusal {
                deltas.push(Delta::Refusal(self.refusal.push(refusal)));
            }
            for (position, call) in (0..).zip(delta.tool_calls.into_iter().flatten()) {
                deltas.push(Delta::ToolCall(self.tool_call(position, call)?));
            }
        }
        check_name("finish_reason", choice.finish_reason.as_deref())?;
        match choice.finish_reason.as_deref() {
            None | Some("") => Ok(()),
            Some("error") => Err(ProviderError::new(Fault::ReportedError, "the provider finished with the reason `error`")),
            Some(reason) => {
                self.finish(deltas);
                if matches!(reason, "length" | "max_tokens" | "content_filter") {
                    self.limit.get_or_insert_with(|| reason.to_owned());
                }
                deltas.push(Delta::Finish(self.limit.clone().unwrap_or_else(|| reason.to_owned())));
                Ok(())
            }
        }
    }

    fn tool_call(&mut self, position: u32, call: ToolCallWire) -> Result<ToolCallDelta, ProviderError> {
        let index = call.index.unwrap_or(position);
        let (name, arguments) = call.function.map_or((None, None), |function| (function.name, function.arguments));
        check_name("tool call's id", call.id.as_deref())?;
        check_name("tool call's name", name.as_deref())?;
        let pairs = self.calls.entry(index).or_default();
        let arguments = arguments.map(|arguments| pairs.push(arguments)).unwrap_or_default();
        if self.calls.len() > PROVIDER_TOOL_CALLS_MAX {
            let message = format!("the provider began more than {PROVIDER_TOOL_CALLS_MAX} tool calls");
            return Err(ProviderError::new(Fault::Unreadable, message));
        }
        Ok(ToolCallDelta { index, id: call.id, name, arguments })
    }

    /// Lets go of halves that stood alone to the end.
    fn finish(&mut self, deltas: &mut Vec<Delta>) {
        deltas.push(Delta::Reasoning(self.reasoning.finish()));
        deltas.push(Delta::Text(self.text.finish()));
        deltas.push(Delta::Refusal(self.refusal.finish()));
        for (index, pairs) in &mut self.calls {
            deltas.push(Delta::ToolCall(ToolCallDelta { index: *index, arguments: pairs.finish(), ..ToolCallDelta::default() }));
        }
    }
}

impl ChunkWire {
    /// By what the event is known to be one of Anthropic Messages, of the Responses API, or of Gemini.
    fn other_dialect(&self) -> Option<String> {
        if self.choices.is_some() {
            return None;
        }
        let kind = self.kind.as_ref().and_then(Value::as_str).unwrap_or_default();
        if kind.starts_with("response.") || matches!(kind, "message_start" | "content_block_start" | "content_block_delta") {
            return Some(format!("the type {kind:?}"));
        }
        let fields = [("candidates", &self.candidates), ("promptFeedback", &self.prompt_feedback)];
        fields.iter().find(|(_, field)| field.is_some()).map(|(name, _)| format!("`{name}`"))
    }
}

/// Names go into one item of the log, which has a limit.
fn check_name(what: &str, name: Option<&str>) -> Result<(), ProviderError> {
    if name.is_none_or(|name| name.len() <= PROVIDER_NAME_BYTES_MAX) {
        return Ok(());
    }
    let message = format!("the provider sent a {what} of more than {PROVIDER_NAME_BYTES_MAX} bytes");
    Err(ProviderError::new(Fault::Unreadable, message))
}

/// `None` for a usage object without counts.
fn usage(usage: &Value) -> Option<Usage> {
    let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
    let input_tokens = count("/prompt_tokens")?;
    let output_tokens = count("/completion_tokens").unwrap_or(0);
    Some(Usage {
        input_tokens,
        output_tokens,
        total_tokens: count("/total_tokens").unwrap_or_else(|| input_tokens.saturating_add(output_tokens)),
        cached_tokens: count("/prompt_tokens_details/cached_tokens").unwrap_or(0),
        reasoning_tokens: count("/completion_tokens_details/reasoning_tokens").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests;
