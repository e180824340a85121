//! From events to deltas.

use std::collections::BTreeMap;

use super::wire::{BlockWire, EventWire, ToolUseWire, UsageWire};
use crate::generation::usage::Usage;
use crate::providers::decode::{Decode, Unreadable, begin_call, more_arguments, push_finish, rest_of_arguments};
use crate::providers::finish::{FinishMeaning, FinishReason, FinishWords, OwnFinishWords};
use crate::providers::lenient::{Raw, count, text_of, word};
use crate::providers::sse::SseEvent;
use crate::providers::{Delta, HalfPairs, ProviderError};

const FINISH_WORDS: &FinishWords = &[
    ("end_turn", FinishMeaning::Completed),
    ("stop_sequence", FinishMeaning::Completed),
    ("tool_use", FinishMeaning::Completed),
    ("max_tokens", FinishMeaning::MaxOutputTokens),
    ("model_context_window_exceeded", FinishMeaning::MaxOutputTokens),
    ("content_filtered", FinishMeaning::ContentFilter),
    ("guardrail_intervened", FinishMeaning::ContentFilter),
    ("malformed_model_output", FinishMeaning::Failed),
    ("malformed_tool_use", FinishMeaning::Failed),
];

/// The state of one stream.
#[derive(Default)]
pub(in crate::providers) struct Decoder {
    own_finish_words: OwnFinishWords,
    text: HalfPairs,
    reasoning: HalfPairs,
    /// The newest call at each index of a block.
    calls: BTreeMap<u64, (u32, HalfPairs)>,
    /// Calls that have begun.
    begun: usize,
}

impl Decoder {
    /// For a provider whose settings add these finish reasons.
    pub fn new(own_finish_words: OwnFinishWords) -> Self {
        Self { own_finish_words, ..Self::default() }
    }

    fn event(&mut self, kind: &str, data: &str, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let event: EventWire<'_> = serde_json::from_str(data)?;
        let index = event.index.and_then(count).unwrap_or_default();
        match kind {
            "contentBlockStart" | "contentBlockDelta" => {
                for block in [event.start, event.delta].into_iter().flatten() {
                    self.block(index, &block, deltas)?;
                }
            }
            "messageStop" => {
                deltas.extend(self.finish());
                if let Some(reason) = event.stop_reason.and_then(word) {
                    let meaning = self.own_finish_words.meaning(&reason, FINISH_WORDS);
                    push_finish(FinishReason { word: reason, meaning, is_final: true }, deltas)?;
                }
            }
            "metadata" => deltas.extend(event.usage.as_ref().and_then(usage).map(Delta::Usage)),
            // The service adds kinds of events.
            _ => deltas.push(Delta::Alive),
        }
        Ok(())
    }

    fn block(&mut self, index: u64, block: &BlockWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        if let Some(text) = block.text {
            deltas.push(Delta::Text(self.text.push(text_of(text)?)));
        }
        if let Some(text) = block.reasoning.as_ref().and_then(|reasoning| reasoning.text) {
            deltas.push(Delta::Reasoning(self.reasoning.push(text_of(text)?)));
        }
        block.tool_use.as_ref().map_or(Ok(()), |tool_use| self.tool_use(index, tool_use, deltas))
    }

    fn tool_use(&mut self, index: u64, tool_use: &ToolUseWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let (id, name) = (tool_use.id.and_then(word), tool_use.name.and_then(word));
        if id.is_some() || !self.calls.contains_key(&index) {
            let begun = begin_call(self.begun, id, name)?;
            self.begun += 1;
            if let Some((before, mut pairs)) = self.calls.insert(index, (begun.index, HalfPairs::default())) {
                deltas.extend(rest_of_arguments(before, &mut pairs));
            }
            deltas.push(Delta::ToolCall(begun));
        }
        if let (Some(input), Some((number, pairs))) = (tool_use.input, self.calls.get_mut(&index)) {
            deltas.push(more_arguments(*number, pairs.push(text_of(input)?)));
        }
        Ok(())
    }
}

impl Decode for Decoder {
    fn decode(&mut self, event: &SseEvent, deltas: &mut Vec<Delta>) -> Result<bool, ProviderError> {
        let kind = event.event.as_deref().unwrap_or_default();
        match self.event(kind, &event.data, deltas) {
            Ok(()) => Ok(false),
            Err(unreadable) => unreadable.settle(event, "one of ConverseStream"),
        }
    }

    /// Passes on the surrogate halves that no second half followed.
    fn finish(&mut self) -> Vec<Delta> {
        let mut deltas = vec![Delta::Reasoning(self.reasoning.finish()), Delta::Text(self.text.finish())];
        deltas.extend(self.calls.values_mut().filter_map(|(number, pairs)| rest_of_arguments(*number, pairs)));
        deltas
    }
}

fn usage(usage: &UsageWire<'_>) -> Option<Usage> {
    let of = |raw: Option<Raw<'_>>| raw.and_then(count);
    let cached_tokens = of(usage.cache_read).unwrap_or(0);
    let input_tokens = of(usage.input)?.saturating_add(cached_tokens).saturating_add(of(usage.cache_write).unwrap_or(0));
    let output_tokens = of(usage.output).unwrap_or(0);
    let total_tokens = input_tokens.saturating_add(output_tokens);
    Some(Usage { input_tokens, cached_tokens, output_tokens, total_tokens, ..Usage::default() })
}
