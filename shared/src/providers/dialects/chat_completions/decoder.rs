//! From events to deltas.

use std::collections::BTreeMap;

use serde_json::Value;

use super::wire::{ChoiceWire, ChunkWire, ToolCallWire};
use crate::generation::usage::Usage;
use crate::limits::{PROVIDER_NAME_BYTES_MAX, PROVIDER_TOOL_CALLS_MAX};
use crate::providers::http_status;
use crate::providers::sse::SseEvent;
use crate::providers::{Delta, Fault, HalfPairs, ProviderError, ToolCallDelta};

/// How a stream ended, by what it says itself.
pub(super) type StreamEnd = Result<(), ProviderError>;

/// The state of one stream.
#[derive(Default)]
pub(super) struct Decoder {
    text: HalfPairs,
    reasoning: HalfPairs,
    refusal: HalfPairs,
    calls: BTreeMap<u32, HalfPairs>,
    model_reported: bool,
    /// The limit that cut the output off. A later finish reason does not replace it.
    limit: Option<String>,
}

impl Decoder {
    /// Decodes events to the first that ends the stream: well, with `[DONE]`, or with an error.
    pub fn decode_batch(&mut self, events: Vec<Result<SseEvent, ProviderError>>) -> (Vec<Delta>, Option<StreamEnd>) {
        let mut deltas = Vec::with_capacity(events.len());
        for event in events {
            match event.and_then(|event| self.decode(&event, &mut deltas)) {
                Ok(false) => {}
                Ok(true) => return (deltas, Some(Ok(()))),
                Err(error) => return (deltas, Some(Err(error))),
            }
        }
        (deltas, None)
    }

    /// Appends the deltas of one event. Returns `true` at the end of the stream.
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
            // The stream broke off within the event; the missing finish reason is reported at the end.
            Err(_) if event.is_unterminated => return Ok(false),
            Err(_) if event.event.as_deref() == Some("error") => return Err(http_status::reported_error(&data.into())),
            Err(error) => {
                // The position only: serde's own message would repeat the output.
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
            let message = format!("the provider's events are not chat completion chunks: one has {what}");
            return Err(ProviderError::new(Fault::NotAStream, message));
        }
        check_name("model", chunk.model.as_deref())?;
        if let Some(model) = chunk.model.filter(|model| !self.model_reported && !model.is_empty()) {
            self.model_reported = true;
            deltas.push(Delta::Model(model));
        }
        // Only the first choice: a generation has one answer.
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
            Some("error") => {
                Err(ProviderError::new(Fault::ReportedError, "the provider ended the stream with the finish reason `error`"))
            }
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

    /// Flushes the surrogate halves that no second half followed.
    fn finish(&mut self, deltas: &mut Vec<Delta>) {
        deltas.push(Delta::Reasoning(self.reasoning.finish()));
        deltas.push(Delta::Text(self.text.finish()));
        deltas.push(Delta::Refusal(self.refusal.finish()));
        for (index, pairs) in &mut self.calls {
            deltas.push(Delta::ToolCall(ToolCallDelta { index: *index, arguments: pairs.finish(), ..ToolCallDelta::default() }));
        }
    }
}

/// Bounds a name: names are stored in one item of the log, which has a size limit.
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
