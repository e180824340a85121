//! From events to deltas.

use super::wire::{CallWire, EventWire, PartWire, UsageWire};
use crate::generation::usage::Usage;
use crate::providers::decode::{Decode, Unreadable, check_calls, check_name, is_error_event, push_finish};
use crate::providers::errors;
use crate::providers::finish::{FinishMeaning, FinishReason, FinishWords, OwnFinishWords};
use crate::providers::lenient::{Raw, count, word};
use crate::providers::sse::SseEvent;
use crate::providers::{Delta, Fault, HalfPairs, ProviderError, ToolCallDelta};

/// `CONTINUATION` is not among them: it is no end.
const FINISH_WORDS: &FinishWords = {
    use FinishMeaning::{Completed, ContentFilter, Failed, MaxOutputTokens};
    &[
        ("stop", Completed),
        ("max_tokens", MaxOutputTokens),
        ("safety", ContentFilter),
        ("recitation", ContentFilter),
        ("language", ContentFilter),
        ("blocklist", ContentFilter),
        ("prohibited_content", ContentFilter),
        ("spii", ContentFilter),
        ("image_safety", ContentFilter),
        ("malformed_function_call", Failed),
        ("unexpected_tool_call", Failed),
    ]
};
/// Words that end nothing.
const NO_FINISH: [&str; 2] = ["CONTINUATION", "FINISH_REASON_UNSPECIFIED"];

/// The state of one stream.
#[derive(Default)]
pub(in crate::providers) struct Decoder {
    own_finish_words: OwnFinishWords,
    text: HalfPairs,
    thoughts: HalfPairs,
    calls: u32,
    model_reported: bool,
}

impl Decoder {
    /// For a provider whose settings add these finish reasons.
    pub fn new(own_finish_words: OwnFinishWords) -> Self {
        Self { own_finish_words, ..Self::default() }
    }

    fn event(&mut self, event: &SseEvent, data: &str, deltas: &mut Vec<Delta>) -> Result<bool, Unreadable> {
        let wire: EventWire<'_> = serde_json::from_str(data)?;
        let is_empty = wire.candidates.is_none() && wire.prompt_feedback.is_none();
        if is_error_event(event) || (is_empty && errors::is_error(data)) {
            return Err(errors::in_stream(data).into());
        }
        if is_empty && wire.usage.is_none() && wire.model.is_none() {
            let message = "the provider's events are not those of Gemini: one has neither candidates nor usage";
            return Err(ProviderError::new(Fault::NotAStream, message).into());
        }
        if let Some(model) = wire.model.and_then(word).filter(|_| !self.model_reported) {
            check_name("modelVersion", &model)?;
            self.model_reported = true;
            deltas.push(Delta::Model(model));
        }
        deltas.extend(wire.usage.as_ref().and_then(usage).map(Delta::Usage));
        if let Some(candidate) = wire.candidates.into_iter().flatten().next() {
            let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
            let received = deltas.len();
            for part in &parts {
                self.part(part, deltas)?;
            }
            let has_output = deltas[received..].iter().any(|delta| delta.text_bytes() > 0 || matches!(delta, Delta::ToolCall(_)));
            if let Some(reason) = candidate.finish_reason.and_then(word).filter(|word| !NO_FINISH.contains(&word.as_str())) {
                let meaning = self.own_finish_words.meaning(&reason, FINISH_WORDS);
                push_finish(FinishReason { word: reason, meaning, is_final: !has_output }, deltas)?;
            }
        }
        if let Some(reason) = wire.prompt_feedback.and_then(|feedback| feedback.block_reason).and_then(word) {
            let meaning = Some(FinishMeaning::ContentFilter);
            push_finish(FinishReason { word: reason, meaning, is_final: true }, deltas)?;
        }
        Ok(false)
    }

    fn part(&mut self, part: &PartWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        if let Some(text) = part.text {
            let text = serde_json::from_str(text.get())?;
            let is_thought = part.is_thought.is_some_and(|thought| thought.get() == "true");
            deltas.push(if is_thought { Delta::Reasoning(self.thoughts.push(text)) } else { Delta::Text(self.text.push(text)) });
        }
        match &part.call {
            Some(call) => self.call(call, deltas),
            None => Ok(()),
        }
    }

    fn call(&mut self, call: &CallWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let (id, name) = (call.id.and_then(word), call.name.and_then(word));
        check_name("function call's id", id.as_deref().unwrap_or_default())?;
        check_name("function call's name", name.as_deref().unwrap_or_default())?;
        check_calls(self.calls as usize + 1)?;
        let arguments = call.args.map_or_else(|| "{}".to_owned(), |args| args.get().to_owned());
        deltas.push(Delta::ToolCall(ToolCallDelta { index: self.calls, id, name, arguments }));
        self.calls += 1;
        Ok(())
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
        self.event(event, data, deltas).or_else(|unreadable| unreadable.settle(event, "one of Gemini"))
    }

    fn finish(&mut self) -> Vec<Delta> {
        vec![Delta::Reasoning(self.thoughts.finish()), Delta::Text(self.text.finish())]
    }
}

/// `None` for a usage object without counts, as Vertex AI sends until the end.
fn usage(usage: &UsageWire<'_>) -> Option<Usage> {
    let of = |raw: Option<Raw<'_>>| raw.and_then(count);
    let input_tokens = of(usage.prompt)?;
    let reasoning_tokens = of(usage.thoughts).unwrap_or(0);
    let output_tokens = of(usage.candidates).unwrap_or(0).saturating_add(reasoning_tokens);
    Some(Usage {
        input_tokens,
        cached_tokens: of(usage.cached).unwrap_or(0),
        output_tokens,
        reasoning_tokens,
        total_tokens: of(usage.total).unwrap_or_else(|| input_tokens.saturating_add(output_tokens)),
        ..Usage::default()
    })
}
