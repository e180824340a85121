//! From lines to deltas.

use super::wire::{CallWire, LineWire};
use crate::generation::usage::Usage;
use crate::providers::decode::{Decode, Unreadable, begin_call, check_name, push_finish};
use crate::providers::errors;
use crate::providers::finish::{FinishMeaning, FinishReason, FinishWords, OwnFinishWords};
use crate::providers::lenient::{count, text_of, word};
use crate::providers::sse::SseEvent;
use crate::providers::{Delta, Fault, HalfPairs, ProviderError, ToolCallDelta};

const FINISH_WORDS: &FinishWords = &[
    ("stop", FinishMeaning::Completed),
    ("length", FinishMeaning::MaxOutputTokens),
    // The model was loaded or unloaded, and nothing was generated.
    ("load", FinishMeaning::Failed),
    ("unload", FinishMeaning::Failed),
];

/// The state of one stream.
#[derive(Default)]
pub(in crate::providers) struct Decoder {
    own_finish_words: OwnFinishWords,
    text: HalfPairs,
    thinking: HalfPairs,
    calls: u32,
    model_reported: bool,
}

impl Decoder {
    /// For a provider whose settings add these finish reasons.
    pub fn new(own_finish_words: OwnFinishWords) -> Self {
        Self { own_finish_words, ..Self::default() }
    }

    fn line(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<bool, Unreadable> {
        let line: LineWire<'_> = serde_json::from_str(data)?;
        if line.error.is_some() {
            return Err(errors::in_stream(data).into());
        }
        if line.message.is_none() && line.is_done.is_none() {
            let message = "the provider's lines are not those of Ollama: one has neither a message nor `done`";
            return Err(ProviderError::new(Fault::NotAStream, message).into());
        }
        if let Some(model) = line.model.and_then(word).filter(|_| !self.model_reported) {
            check_name("model", &model)?;
            self.model_reported = true;
            deltas.push(Delta::Model(model));
        }
        if let Some(message) = &line.message {
            if let Some(thinking) = message.thinking {
                deltas.push(Delta::Reasoning(self.thinking.push(text_of(thinking)?)));
            }
            if let Some(content) = message.content {
                deltas.push(Delta::Text(self.text.push(text_of(content)?)));
            }
            for call in message.tool_calls.iter().flatten() {
                self.call(call, deltas)?;
            }
        }
        if line.is_done.is_none_or(|done| done.get() != "true") {
            return Ok(false);
        }
        if let Some(input_tokens) = line.prompt_tokens.and_then(count) {
            let output_tokens = line.output_tokens.and_then(count).unwrap_or(0);
            let total_tokens = input_tokens.saturating_add(output_tokens);
            deltas.push(Delta::Usage(Usage { input_tokens, output_tokens, total_tokens, ..Usage::default() }));
        }
        // Servers before 0.3 name no reason.
        let word = line.done_reason.and_then(word).unwrap_or_else(|| "stop".to_owned());
        let meaning = self.own_finish_words.meaning(&word, FINISH_WORDS);
        deltas.push(Delta::Reasoning(self.thinking.finish()));
        deltas.push(Delta::Text(self.text.finish()));
        push_finish(FinishReason { word, meaning, is_final: true }, deltas)?;
        Ok(true)
    }

    fn call(&mut self, call: &CallWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let Some(function) = &call.function else { return Ok(()) };
        let begun = begin_call(self.calls as usize, call.id.and_then(word), function.name.and_then(word))?;
        let arguments = function.arguments.map_or_else(|| "{}".to_owned(), |arguments| arguments.get().to_owned());
        deltas.push(Delta::ToolCall(ToolCallDelta { arguments, ..begun }));
        self.calls += 1;
        Ok(())
    }
}

impl Decode for Decoder {
    fn decode(&mut self, event: &SseEvent, deltas: &mut Vec<Delta>) -> Result<bool, ProviderError> {
        self.line(&event.data, deltas).or_else(|unreadable| unreadable.settle(event, "one of Ollama"))
    }

    fn finish(&mut self) -> Vec<Delta> {
        Vec::new()
    }
}
