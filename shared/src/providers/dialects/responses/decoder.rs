//! From events to deltas.

use std::collections::BTreeMap;

use super::wire::{EventWire, ItemWire, ResponseWire, UsageWire};
use crate::generation::usage::Usage;
use crate::providers::decode::{
    Decode, Unreadable, begin_call, check_name, is_error_event, more_arguments, push_finish, rest_of_arguments,
};
use crate::providers::errors;
use crate::providers::finish::{FinishMeaning, FinishReason, FinishWords, OwnFinishWords};
use crate::providers::lenient::{Raw, count, text_of, word};
use crate::providers::sse::SseEvent;
use crate::providers::{Delta, Fault, HalfPairs, ProviderError, Upstream, WireText};

const FINISH_WORDS: &FinishWords = &[
    ("completed", FinishMeaning::Completed),
    ("max_output_tokens", FinishMeaning::MaxOutputTokens),
    ("content_filter", FinishMeaning::ContentFilter),
];
/// Between two parts of a summary, which the API tells apart.
const BETWEEN_SUMMARIES: &str = "\n\n";

/// The state of one stream.
#[derive(Default)]
pub(in crate::providers) struct Decoder {
    own_finish_words: OwnFinishWords,
    /// Where the stream began and how far it was decoded, of a response that the provider keeps.
    upstream: Option<Upstream>,
    /// The provider keeps the response.
    is_kept: bool,
    /// The stream begins behind this event of the response.
    begins_behind: Option<u64>,
    text: HalfPairs,
    refusal: HalfPairs,
    reasoning: HalfPairs,
    /// The items that have begun in this stream, by their place in the output.
    items: BTreeMap<u64, Item>,
    calls: u32,
    model_reported: bool,
}

/// An item that has begun.
#[derive(Default)]
struct Item {
    call: Option<Call>,
    /// Something of it has come as a delta.
    has_delta: bool,
}

/// A call of a function or of a custom tool.
struct Call {
    number: u32,
    pairs: HalfPairs,
    is_open: bool,
}

impl Decoder {
    /// For a provider whose settings add these finish reasons. `is_kept`: the provider keeps the response. `upstream`: the stream
    /// begins there.
    pub fn new(own_finish_words: OwnFinishWords, is_kept: bool, upstream: Option<Upstream>) -> Self {
        let begins_behind = upstream.as_ref().and_then(|upstream| upstream.cursor);
        Self { own_finish_words, upstream, is_kept, begins_behind, ..Self::default() }
    }

    fn event(&mut self, event: &SseEvent, data: &str, deltas: &mut Vec<Delta>) -> Result<bool, Unreadable> {
        let wire: EventWire<'_> = serde_json::from_str(data)?;
        let kind = wire.kind.and_then(word).or_else(|| event.event.clone()).unwrap_or_default();
        let index = wire.output_index.and_then(count).unwrap_or_default();
        let number = wire.sequence_number.and_then(count);
        if number.is_some_and(|number| self.begins_behind.is_some_and(|begin| number <= begin)) {
            // The server has begun at the beginning all the same.
            deltas.push(Delta::Alive);
            return Ok(false);
        }
        match kind.as_str() {
            "response.created" | "response.queued" | "response.in_progress" => {
                self.begin(wire.response.as_ref(), deltas)?;
                deltas.push(Delta::Alive);
            }
            "response.output_item.added" => self.add_item(index, wire.item.as_ref(), deltas)?,
            "response.output_item.done" => self.end_item(index, wire.item.as_ref(), deltas)?,
            "response.output_text.delta" => {
                self.note_delta(index);
                deltas.push(Delta::Text(self.text.push(piece_of(wire.delta)?)));
            }
            "response.refusal.delta" => {
                self.note_delta(index);
                deltas.push(Delta::Refusal(self.refusal.push(piece_of(wire.delta)?)));
            }
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
                self.note_delta(index);
                deltas.push(Delta::Reasoning(self.reasoning.push(piece_of(wire.delta)?)));
            }
            "response.reasoning_summary_part.added" => {
                let is_first = wire.summary_index.and_then(count).unwrap_or_default() == 0;
                deltas.push(if is_first { Delta::Alive } else { Delta::Reasoning(BETWEEN_SUMMARIES.to_owned()) });
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                let piece = piece_of(wire.delta)?;
                self.add_arguments(index, wire.item_id, piece, deltas)?;
            }
            "response.completed" | "response.incomplete" => {
                self.end(kind.trim_start_matches("response."), wire.response.as_ref(), deltas)?;
                return Ok(true);
            }
            "response.failed" | "response.cancelled" => {
                deltas.extend(usage_of(wire.response.as_ref()));
                let error = wire.response.and_then(|response| response.error).map_or("{}", |error| error.get());
                return Err(errors::in_stream(error).into());
            }
            "error" => return Err(self.stream_error(data).into()),
            "" if is_error_event(event) || errors::is_error(data) => return Err(errors::in_stream(data).into()),
            "" => {
                let message = "the provider's events are not those of the Responses API: one has no type";
                return Err(ProviderError::new(Fault::NotAStream, message).into());
            }
            // The API adds kinds of events; some tell what a hosted tool does.
            _ => deltas.push(Delta::Alive),
        }
        // The last event is read again after a crash that lost the end: a stream behind it would be empty.
        if let (Some(upstream), Some(number)) = (&mut self.upstream, number) {
            upstream.cursor = Some(number);
        }
        Ok(false)
    }

    /// The error that an event of the stream reports. The stream of a response that the provider keeps may fail without the response,
    /// which is then read on.
    fn stream_error(&self, data: &str) -> ProviderError {
        let error = errors::in_stream(data);
        let is_of_stream = self.upstream.is_some() && error.fault == Fault::ReportedError;
        ProviderError { fault: if is_of_stream { Fault::Interrupted } else { error.fault }, ..error }
    }

    fn begin(&mut self, response: Option<&ResponseWire<'_>>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let Some(response) = response else { return Ok(()) };
        if let Some(id) = response.id.and_then(word).filter(|id| self.is_kept && self.upstream.is_none() && is_id(id)) {
            check_name("response's id", &id)?;
            self.upstream = Some(Upstream { id, cursor: None });
        }
        self.report_model(response, deltas)
    }

    fn report_model(&mut self, response: &ResponseWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        if let Some(model) = response.model.and_then(word).filter(|_| !self.model_reported) {
            check_name("model", &model)?;
            self.model_reported = true;
            deltas.push(Delta::Model(model));
        }
        Ok(())
    }

    fn add_item(&mut self, index: u64, item: Option<&ItemWire<'_>>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let call = item.filter(|item| is_call(item)).map(|item| self.begin_call(item, deltas)).transpose()?;
        if call.is_none() {
            deltas.push(Delta::Alive);
        }
        self.items.insert(index, Item { call, has_delta: false });
        Ok(())
    }

    fn begin_call(&mut self, item: &ItemWire<'_>, deltas: &mut Vec<Delta>) -> Result<Call, Unreadable> {
        let begun = begin_call(self.calls as usize, item.call_id.and_then(word), item.name.and_then(word))?;
        let number = begun.index;
        self.calls += 1;
        deltas.push(Delta::ToolCall(begun));
        Ok(Call { number, pairs: HalfPairs::default(), is_open: true })
    }

    fn note_delta(&mut self, index: u64) {
        self.items.entry(index).or_default().has_delta = true;
    }

    fn add_arguments(
        &mut self,
        index: u64,
        item_id: Option<Raw<'_>>,
        piece: WireText,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), Unreadable> {
        if self.items.get(&index).is_none_or(|item| item.call.is_none()) {
            // Its beginning did not come.
            let call = self.begin_call(&ItemWire { call_id: item_id, ..ItemWire::default() }, deltas)?;
            self.items.entry(index).or_default().call = Some(call);
        }
        let Some(item) = self.items.get_mut(&index) else { return Ok(()) };
        item.has_delta = true;
        if let Some(call) = &mut item.call {
            deltas.push(more_arguments(call.number, call.pairs.push(piece)));
        }
        Ok(())
    }

    /// Ends an item. What of it did not come in deltas comes whole.
    fn end_item(&mut self, index: u64, item: Option<&ItemWire<'_>>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let Some(begun) = self.items.get_mut(&index) else { return Ok(()) };
        let is_missing = !std::mem::replace(&mut begun.has_delta, true);
        if let Some(call) = &mut begun.call {
            let mut arguments = call.pairs.finish();
            if let Some(whole) = item.and_then(|item| item.arguments).filter(|_| is_missing) {
                arguments = call.pairs.push(text_of(whole)?);
            }
            call.is_open = false;
            if !arguments.is_empty() {
                deltas.push(more_arguments(call.number, arguments));
            }
        } else if let Some(item) = item.filter(|_| is_missing) {
            self.whole_parts(item, deltas)?;
        }
        Ok(())
    }

    fn whole_parts(&mut self, item: &ItemWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let is_reasoning = item.kind.and_then(word).as_deref() == Some("reasoning");
        let (content, summary) = (item.content.iter().flatten(), item.summary.iter().flatten());
        let parts = content.map(|part| (0, part)).chain(summary.enumerate());
        for (index, part) in parts {
            if index > 0 {
                deltas.push(Delta::Reasoning(BETWEEN_SUMMARIES.to_owned()));
            }
            if let Some(refusal) = part.refusal {
                deltas.push(Delta::Refusal(self.refusal.push(text_of(refusal)?)));
            }
            if let Some(text) = part.text {
                let text = text_of(text)?;
                let delta =
                    if is_reasoning { Delta::Reasoning(self.reasoning.push(text)) } else { Delta::Text(self.text.push(text)) };
                deltas.push(delta);
            }
        }
        Ok(())
    }

    /// The response has ended. Items that the stream did not tell of are in the response, where a server sends no deltas.
    fn end(&mut self, status: &str, response: Option<&ResponseWire<'_>>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        if let Some(response) = response {
            self.report_model(response, deltas)?;
            for (index, item) in (0..).zip(response.output.iter().flatten()) {
                if self.begins_behind.is_none() && !self.items.contains_key(&index) {
                    self.add_item(index, Some(item), deltas)?;
                    self.end_item(index, Some(item), deltas)?;
                }
            }
        }
        deltas.extend(self.finish());
        deltas.extend(usage_of(response));
        let reason = response.and_then(|response| response.incomplete.as_ref()).and_then(|incomplete| incomplete.reason);
        let word = reason.and_then(word).unwrap_or_else(|| status.to_owned());
        let meaning = self.own_finish_words.meaning(&word, FINISH_WORDS);
        Ok(push_finish(FinishReason { word, meaning, is_final: true }, deltas)?)
    }
}

impl Decode for Decoder {
    fn decode(&mut self, event: &SseEvent, deltas: &mut Vec<Delta>) -> Result<bool, ProviderError> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(false);
        }
        if data == "[DONE]" {
            return Ok(true);
        }
        let before = deltas.len();
        self.event(event, data, deltas).or_else(|unreadable| {
            if let Unreadable::Json(_) = unreadable {
                // The position is before this event, so none of it may be kept.
                deltas.truncate(before);
            }
            unreadable.settle(event, "one of the Responses API")
        })
    }

    /// Passes on the surrogate halves that no second half followed.
    fn finish(&mut self) -> Vec<Delta> {
        let mut deltas = vec![
            Delta::Reasoning(self.reasoning.finish()),
            Delta::Refusal(self.refusal.finish()),
            Delta::Text(self.text.finish()),
        ];
        let calls = self.items.values_mut().filter_map(|item| item.call.as_mut());
        deltas.extend(calls.filter_map(|call| rest_of_arguments(call.number, &mut call.pairs)));
        deltas
    }

    /// Another stream cannot continue half a character, a call that is open, or an item that may still come whole at its end.
    fn position(&self) -> Option<Upstream> {
        let mut upstream = self.upstream.clone()?;
        let is_open = |item: &Item| !item.has_delta || item.call.as_ref().is_some_and(|call| call.is_open);
        let is_within = [&self.text, &self.refusal, &self.reasoning].into_iter().any(HalfPairs::is_holding)
            || self.items.values().any(is_open)
            || (self.items.is_empty() && self.begins_behind.is_none());
        if is_within {
            upstream.cursor = None;
        }
        Some(upstream)
    }
}

fn usage_of(response: Option<&ResponseWire<'_>>) -> Option<Delta> {
    response.and_then(|response| response.usage.as_ref()).and_then(usage).map(Delta::Usage)
}

fn is_call(item: &ItemWire<'_>) -> bool {
    matches!(item.kind.and_then(word).as_deref(), Some("function_call" | "custom_tool_call"))
}

/// Whether an id can stand in a path: `..` could not.
fn is_id(id: &str) -> bool {
    id.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

/// The text of a delta; none where the event has no delta.
fn piece_of(delta: Option<Raw<'_>>) -> Result<WireText, serde_json::Error> {
    delta.map_or_else(|| Ok(WireText::default()), text_of)
}

fn usage(usage: &UsageWire<'_>) -> Option<Usage> {
    let of = |raw: Option<Raw<'_>>| raw.and_then(count);
    let input_tokens = of(usage.input)?;
    let output_tokens = of(usage.output).unwrap_or(0);
    Some(Usage {
        input_tokens,
        cached_tokens: usage.input_details.as_ref().and_then(|details| of(details.cached)).unwrap_or(0),
        output_tokens,
        reasoning_tokens: usage.output_details.as_ref().and_then(|details| of(details.reasoning)).unwrap_or(0),
        total_tokens: of(usage.total).unwrap_or_else(|| input_tokens.saturating_add(output_tokens)),
        ..Usage::default()
    })
}
