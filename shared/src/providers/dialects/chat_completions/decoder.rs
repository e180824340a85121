//! From events to deltas.

use super::calls::ToolCalls;
use super::wire::{self, ChoiceWire, ChunkWire, DeltaWire, UsageWire};
use crate::generation::usage::Usage;
use crate::providers::decode::{Decode, Unreadable, check_name, is_error_event, push_finish};
use crate::providers::errors;
use crate::providers::finish::{FinishMeaning, FinishReason, FinishWords, OwnFinishWords};
use crate::providers::lenient::{Raw, count, without_non_numbers, word};
use crate::providers::sse::SseEvent;
use crate::providers::{Delta, Fault, HalfPairs, ProviderError, WireText};

/// The finish reasons of the APIs that speak this dialect: `OpenAI`, Azure, `DeepSeek`, Z.ai, Mistral, TGI, vLLM, `SGLang`, and the
/// words of Anthropic and Gemini, which gateways pass on.
const FINISH_WORDS: &FinishWords = {
    use FinishMeaning::{Completed, ContentFilter, Failed, MaxOutputTokens};
    &[
        ("stop", Completed),
        ("tool_calls", Completed),
        ("function_call", Completed),
        ("eos", Completed),
        ("eos_token", Completed),
        ("stop_sequence", Completed),
        ("end_turn", Completed),
        ("tool_use", Completed),
        ("complete", Completed),
        ("completed", Completed),
        ("length", MaxOutputTokens),
        ("max_tokens", MaxOutputTokens),
        ("max_output_tokens", MaxOutputTokens),
        ("model_length", MaxOutputTokens),
        ("model_context_window_exceeded", MaxOutputTokens),
        ("content_filter", ContentFilter),
        ("sensitive", ContentFilter),
        ("safety", ContentFilter),
        ("recitation", ContentFilter),
        ("blocklist", ContentFilter),
        ("prohibited_content", ContentFilter),
        ("spii", ContentFilter),
        ("image_safety", ContentFilter),
        ("refusal", ContentFilter),
        ("error", Failed),
        ("abort", Failed),
        ("aborted", Failed),
        ("cancelled", Failed),
        ("insufficient_system_resource", Failed),
        ("network_error", Failed),
        ("timeout", Failed),
    ]
};

/// The state of one stream.
#[derive(Default)]
pub(in crate::providers) struct Decoder {
    own_finish_words: OwnFinishWords,
    text: HalfPairs,
    reasoning: HalfPairs,
    refusal: HalfPairs,
    calls: ToolCalls,
    model_reported: bool,
    /// Whether any text has come.
    has_text: bool,
    /// Whether the current event has output. A surrogate half is output, although it is held back.
    has_output: bool,
    choices: Choices,
    finish: Finish,
}

/// The finish reasons of one stream.
#[derive(Default)]
struct Finish {
    /// The newest. One that is not [`FinishMeaning::Completed`] is not replaced by one that is.
    reason: Option<FinishReason>,
    /// Output came behind a finish reason, so none of this stream's is final.
    went_on: bool,
}

/// Which of the alternative answers is read. Longhand asks for one; some servers count up with each event all the same.
#[derive(Default)]
enum Choices {
    #[default]
    None,
    /// The index of the newest event; each was one more than the last.
    Counting(u64),
    Only(u64),
}

impl Choices {
    fn reads(&mut self, index: u64) -> bool {
        *self = match *self {
            Self::None => Self::Counting(index),
            Self::Counting(last) if last.checked_add(1) == Some(index) => Self::Counting(index),
            Self::Counting(last) | Self::Only(last) => Self::Only(last),
        };
        matches!(*self, Self::Counting(read) | Self::Only(read) if read == index)
    }
}

impl Decoder {
    /// For a provider whose settings add these finish reasons.
    pub fn new(own_finish_words: OwnFinishWords) -> Self {
        Self { own_finish_words, ..Self::default() }
    }
}

impl Decode for Decoder {
    /// No deltas without a finish reason, because another attempt may continue the text.
    fn finish(&mut self) -> Vec<Delta> {
        let mut deltas = Vec::new();
        if self.finish.reason.is_some() {
            self.flush(&mut deltas);
        }
        deltas
    }

    fn decode(&mut self, event: &SseEvent, deltas: &mut Vec<Delta>) -> Result<bool, ProviderError> {
        let data = event.data.trim();
        if data == "[DONE]" {
            deltas.extend(self.finish());
            return Ok(true);
        }
        if !is_error_event(event) && is_keep_alive(event.event.as_deref(), data) {
            return Ok(false);
        }
        match self.decode_json(event, data, deltas) {
            Ok(()) => Ok(false),
            Err(unreadable) => unreadable.settle(event, "a chat completion chunk"),
        }
    }
}

impl Decoder {
    fn decode_json(&mut self, event: &SseEvent, data: &str, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        match serde_json::from_str(data) {
            Ok(chunk) => self.chunk(event, data, &chunk, deltas),
            Err(error) => match without_non_numbers(data) {
                Some(mended) => {
                    let chunk = serde_json::from_str(&mended)?;
                    self.chunk(event, &mended, &chunk, deltas)
                }
                None => Err(error.into()),
            },
        }
    }

    fn chunk(&mut self, event: &SseEvent, data: &str, chunk: &ChunkWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        if is_error_event(event) || chunk.error.is_some_and(is_error) || (chunk.choices.is_none() && errors::is_error(data)) {
            return Err(errors::in_stream(data).into());
        }
        if let Some(what) = chunk.other_dialect() {
            let message = format!("the provider's events are not chat completion chunks: one has {what}");
            return Err(ProviderError::new(Fault::NotAStream, message).into());
        }
        if let Some(model) = chunk.model.and_then(word).filter(|_| !self.model_reported) {
            check_name("model", &model)?;
            self.model_reported = true;
            deltas.push(Delta::Model(model));
        }
        let choices = chunk.choices.as_deref().unwrap_or_default();
        let index = |choice: &ChoiceWire<'_>| choice.index.and_then(count).unwrap_or(0);
        if let Some(choice) = choices.iter().min_by_key(|choice| index(choice))
            && self.choices.reads(index(choice))
        {
            self.choice(choice, deltas)?;
        }
        let of_choices = choices.iter().filter_map(|choice| choice.usage.as_ref());
        let of_groq = chunk.groq.as_ref().and_then(|groq| groq.usage.as_ref());
        if let Some(usage) = of_choices.chain(of_groq).chain(&chunk.usage).filter_map(usage).next_back() {
            deltas.push(Delta::Usage(usage));
        }
        Ok(())
    }

    fn choice(&mut self, choice: &ChoiceWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        self.has_output = false;
        if let Some(delta) = &choice.delta {
            self.message(delta, deltas)?;
        }
        // A message in place of deltas. Some servers repeat the whole message in their last event.
        if let Some(message) = choice.message.as_ref().filter(|_| !self.has_text && self.calls.is_empty()) {
            self.message(message, deltas)?;
        }
        if let Some(text) = choice.text.filter(|_| !self.has_output) {
            self.text(wire::text(text)?, deltas);
        }
        self.finish.went_on |= self.has_output && self.finish.reason.is_some();
        if let Some(word) = choice.finish_reason.and_then(word) {
            self.finish_with(word, deltas)?;
        }
        Ok(())
    }

    fn message(&mut self, delta: &DeltaWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        self.reasoning(delta, deltas)?;
        for (is_reasoning, text) in delta.content.map(wire::texts).transpose()?.into_iter().flatten() {
            if is_reasoning {
                self.has_output |= !text.is_empty();
                deltas.push(Delta::Reasoning(self.reasoning.push(text)));
            } else {
                self.text(text, deltas);
            }
        }
        if let Some(refusal) = delta.refusal {
            let refusal = wire::text(refusal)?;
            self.has_output |= !refusal.is_empty();
            deltas.push(Delta::Refusal(self.refusal.push(refusal)));
        }
        for (position, call) in (0..).zip(delta.tool_calls.iter().flatten()) {
            self.has_output = true;
            self.calls.add(position, call, deltas)?;
        }
        match &delta.function_call {
            Some(function) => {
                self.has_output = true;
                self.calls.add_legacy(function, deltas)
            }
            None => Ok(()),
        }
    }

    /// Several servers send the same reasoning under two or three names.
    fn reasoning(&mut self, delta: &DeltaWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let mut seen: Vec<WireText> = Vec::new();
        for reasoning in [delta.reasoning_content, delta.reasoning, delta.reasoning_details].into_iter().flatten() {
            let reasoning = wire::text(reasoning)?;
            if !reasoning.is_empty() && !seen.contains(&reasoning) {
                self.has_output = true;
                seen.push(reasoning.clone());
                deltas.push(Delta::Reasoning(self.reasoning.push(reasoning)));
            }
        }
        Ok(())
    }

    fn text(&mut self, text: WireText, deltas: &mut Vec<Delta>) {
        self.has_text |= !text.is_empty();
        self.has_output |= !text.is_empty();
        deltas.push(Delta::Text(self.text.push(text)));
    }

    fn finish_with(&mut self, word: String, deltas: &mut Vec<Delta>) -> Result<(), ProviderError> {
        let meaning = self.own_finish_words.meaning(&word, FINISH_WORDS);
        let is_final = !self.has_output && !self.finish.went_on;
        if is_final {
            self.flush(deltas);
        } else {
            self.calls.finish(deltas);
        }
        let is_cut_off = self.finish.reason.as_ref().is_some_and(|finish| finish.meaning != Some(FinishMeaning::Completed));
        let reason = match self.finish.reason.take() {
            Some(earlier) if is_cut_off && meaning == Some(FinishMeaning::Completed) => FinishReason { is_final, ..earlier },
            _ => FinishReason { word, meaning, is_final },
        };
        self.finish.reason = Some(reason.clone());
        push_finish(reason, deltas)
    }

    /// Passes on what is held back: calls, and surrogate halves that no second half followed.
    fn flush(&mut self, deltas: &mut Vec<Delta>) {
        deltas.push(Delta::Reasoning(self.reasoning.finish()));
        deltas.push(Delta::Text(self.text.finish()));
        deltas.push(Delta::Refusal(self.refusal.finish()));
        self.calls.finish(deltas);
    }
}

/// Whether an event only shows that the connection is alive: its name says so, or its data is no object and no list.
fn is_keep_alive(name: Option<&str>, data: &str) -> bool {
    const WORDS: [&str; 4] = ["ping", "heartbeat", "keep-alive", "keepalive"];
    let is_word = |word: &str| WORDS.iter().any(|known| known.eq_ignore_ascii_case(word));
    let is_scalar = || !data.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok();
    data.is_empty() || name.is_some_and(is_word) || is_word(data) || is_scalar()
}

/// Whether a chunk's `error` reports one: several servers send `""` or `false` with every chunk.
fn is_error(error: Raw<'_>) -> bool {
    !matches!(error.get(), "\"\"" | "false" | "{}" | "[]" | "0")
}

/// `None` for a usage object without counts.
fn usage(usage: &UsageWire<'_>) -> Option<Usage> {
    let of = |raw: Option<Raw<'_>>| raw.and_then(count);
    let input_tokens = of(usage.input)?;
    let output_tokens = of(usage.output).unwrap_or(0);
    let cached = usage.input_details.as_ref().and_then(|details| details.cached).or(usage.cached);
    Some(Usage {
        input_tokens,
        output_tokens,
        total_tokens: of(usage.total).unwrap_or_else(|| input_tokens.saturating_add(output_tokens)),
        cached_tokens: of(cached).unwrap_or(0),
        reasoning_tokens: of(usage.output_details.as_ref().and_then(|details| details.reasoning)).unwrap_or(0),
        ..Usage::default()
    })
}
