//! From events to deltas.

use std::collections::BTreeMap;

use super::wire::{BlockWire, EventWire, UsageWire};
use crate::generation::usage::Usage;
use crate::providers::decode::{Decode, Unreadable, begin_call, check_name, more_arguments, push_finish, rest_of_arguments};
use crate::providers::errors;
use crate::providers::finish::{FinishMeaning, FinishReason, FinishWords, OwnFinishWords};
use crate::providers::lenient::{Raw, count, text_of, word};
use crate::providers::sse::SseEvent;
use crate::providers::{Delta, Fault, HalfPairs, ProviderError};

const FINISH_WORDS: &FinishWords = &[
    ("end_turn", FinishMeaning::Completed),
    ("stop_sequence", FinishMeaning::Completed),
    ("tool_use", FinishMeaning::Completed),
    ("max_tokens", FinishMeaning::MaxOutputTokens),
    ("model_context_window_exceeded", FinishMeaning::MaxOutputTokens),
    ("refusal", FinishMeaning::ContentFilter),
];

/// The state of one stream.
#[derive(Default)]
pub(in crate::providers) struct Decoder {
    own_finish_words: OwnFinishWords,
    text: HalfPairs,
    thinking: HalfPairs,
    /// The newest call at each index of a block.
    calls: BTreeMap<u64, Call>,
    /// Calls that have begun.
    begun: usize,
    usage: Usage,
}

/// A tool call.
struct Call {
    number: u32,
    pairs: HalfPairs,
    /// The input of a block that has it from the beginning, as some gateways send it; nothing once pieces of it have come.
    whole_input: Option<String>,
}

impl Decoder {
    /// For a provider whose settings add these finish reasons.
    pub fn new(own_finish_words: OwnFinishWords) -> Self {
        Self { own_finish_words, ..Self::default() }
    }

    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<bool, Unreadable> {
        let event: EventWire<'_> = serde_json::from_str(data)?;
        let kind = event.kind.and_then(word).unwrap_or_default();
        match kind.as_str() {
            "message_start" => {
                let Some(message) = event.message else { return Ok(false) };
                if let Some(model) = message.model.and_then(word) {
                    check_name("model", &model)?;
                    deltas.push(Delta::Model(model));
                }
                self.count(message.usage.as_ref(), deltas);
            }
            "content_block_start" => self.begin_block(event.index, event.content_block.as_ref(), deltas)?,
            "content_block_delta" => self.block_delta(event.index, event.delta.as_ref(), deltas)?,
            "content_block_stop" => self.end_block(event.index, deltas),
            "message_delta" => {
                self.count(event.usage.as_ref(), deltas);
                if let Some(reason) = event.delta.and_then(|delta| delta.stop_reason).and_then(word) {
                    self.flush(deltas);
                    let meaning = self.own_finish_words.meaning(&reason, FINISH_WORDS);
                    push_finish(FinishReason { word: reason, meaning, is_final: true }, deltas)?;
                }
            }
            "message_stop" => return Ok(true),
            "ping" => deltas.push(Delta::Alive),
            "error" => return Err(errors::in_stream(data).into()),
            "" if errors::is_error(data) => return Err(errors::in_stream(data).into()),
            "" => {
                let message = "the provider's events are not those of the Messages API: one has no type";
                return Err(ProviderError::new(Fault::NotAStream, message).into());
            }
            // The API adds kinds of events, and asks clients to ignore those that they do not know.
            _ => {}
        }
        Ok(false)
    }

    fn begin_block(
        &mut self,
        index: Option<Raw<'_>>,
        block: Option<&BlockWire<'_>>,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), Unreadable> {
        let Some(block) = block else { return Ok(()) };
        if block.kind.and_then(word).as_deref() != Some("tool_use") {
            return self.add_text(block, deltas);
        }
        let begun = begin_call(self.begun, block.id.and_then(word), block.name.and_then(word))?;
        let whole_input = block.input.map(|input| input.get().to_owned());
        let call = Call { number: begun.index, pairs: HalfPairs::default(), whole_input };
        self.begun += 1;
        if let Some(mut before) = self.calls.insert(index.and_then(count).unwrap_or_default(), call) {
            deltas.extend(rest_of_arguments(before.number, &mut before.pairs));
        }
        deltas.push(Delta::ToolCall(begun));
        Ok(())
    }

    fn block_delta(
        &mut self,
        index: Option<Raw<'_>>,
        delta: Option<&BlockWire<'_>>,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), Unreadable> {
        let Some(delta) = delta else { return Ok(()) };
        self.add_text(delta, deltas)?;
        if let (Some(piece), Some(call)) = (delta.partial_json, self.calls.get_mut(&index.and_then(count).unwrap_or_default())) {
            let arguments = call.pairs.push(text_of(piece)?);
            if !arguments.is_empty() {
                call.whole_input = None;
            }
            deltas.push(more_arguments(call.number, arguments));
        }
        Ok(())
    }

    fn add_text(&mut self, block: &BlockWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        if let Some(text) = block.text {
            deltas.push(Delta::Text(self.text.push(text_of(text)?)));
        }
        if let Some(thinking) = block.thinking {
            deltas.push(Delta::Reasoning(self.thinking.push(text_of(thinking)?)));
        }
        Ok(())
    }

    fn end_block(&mut self, index: Option<Raw<'_>>, deltas: &mut Vec<Delta>) {
        let call = self.calls.get_mut(&index.and_then(count).unwrap_or_default());
        if let Some((call, input)) = call.and_then(|call| Some((call.number, call.whole_input.take()?))) {
            deltas.push(more_arguments(call, input));
        }
    }

    /// Counts are cumulative; one that an event leaves out stays as it was.
    fn count(&mut self, usage: Option<&UsageWire<'_>>, deltas: &mut Vec<Delta>) {
        let Some(usage) = usage else { return };
        let of = |raw: Option<Raw<'_>>| raw.and_then(count);
        if let Some(uncached) = of(usage.input) {
            let cached = of(usage.cache_read).unwrap_or(0);
            self.usage.cached_tokens = cached;
            self.usage.input_tokens = uncached.saturating_add(cached).saturating_add(of(usage.cache_creation).unwrap_or(0));
        }
        if let Some(output) = of(usage.output) {
            self.usage.output_tokens = output;
        }
        self.usage.total_tokens = self.usage.input_tokens.saturating_add(self.usage.output_tokens);
        deltas.push(Delta::Usage(self.usage));
    }

    /// Passes on the surrogate halves that no second half followed.
    fn flush(&mut self, deltas: &mut Vec<Delta>) {
        deltas.push(Delta::Reasoning(self.thinking.finish()));
        deltas.push(Delta::Text(self.text.finish()));
        deltas.extend(self.calls.values_mut().filter_map(|call| rest_of_arguments(call.number, &mut call.pairs)));
    }
}

impl Decode for Decoder {
    fn decode(&mut self, event: &SseEvent, deltas: &mut Vec<Delta>) -> Result<bool, ProviderError> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(false);
        }
        self.event(data, deltas).or_else(|unreadable| unreadable.settle(event, "one of the Messages API"))
    }

    fn finish(&mut self) -> Vec<Delta> {
        Vec::new()
    }
}
