//! The JSON of a chunk.

use serde_json::value::RawValue;

use crate::providers::WireText;
use crate::providers::lenient::{Few, Raw, lenient};

lenient! {
    /// One event.
    ChunkWire {
        choices: Few<ChoiceWire<'de>> = "choices",
        usage: UsageWire<'de> = "usage",
        groq: GroqWire<'de> = "x_groq",
        error: Raw<'de> = "error",
        model: Raw<'de> = "model",
        kind: Raw<'de> = "type",
        // Only the events of Gemini have these.
        candidates: Raw<'de> = "candidates",
        prompt_feedback: Raw<'de> = "promptFeedback",
    }

    /// Groq's own part of a chunk.
    GroqWire { usage: UsageWire<'de> = "usage" }

    /// One of the alternative answers. Longhand asks for one.
    ChoiceWire {
        index: Raw<'de> = "index",
        delta: DeltaWire<'de> = "delta",
        // In place of a delta: the whole message, or the text of the older completions API.
        message: DeltaWire<'de> = "message",
        text: Raw<'de> = "text",
        finish_reason: Raw<'de> = "finish_reason" | "finishReason",
        usage: UsageWire<'de> = "usage",
    }

    /// What an event adds to the message.
    DeltaWire {
        content: Raw<'de> = "content",
        reasoning_content: Raw<'de> = "reasoning_content",
        reasoning: Raw<'de> = "reasoning",
        reasoning_details: Raw<'de> = "reasoning_details",
        refusal: Raw<'de> = "refusal",
        tool_calls: Vec<ToolCallWire<'de>> = "tool_calls",
        function_call: FunctionWire<'de> = "function_call",
    }

    /// A piece of a tool call.
    ToolCallWire {
        index: Raw<'de> = "index",
        id: Raw<'de> = "id",
        function: FunctionWire<'de> = "function",
        custom: FunctionWire<'de> = "custom",
    }

    /// The tool that is called, and its input.
    FunctionWire {
        name: Raw<'de> = "name",
        arguments: Raw<'de> = "arguments" | "input",
    }

    /// A part of a content that is a list.
    PartWire {
        text: Raw<'de> = "text",
        thinking: Raw<'de> = "thinking",
        summary: Raw<'de> = "summary",
    }

    /// Token counts, under the names of both APIs of OpenAI.
    UsageWire {
        input: Raw<'de> = "prompt_tokens" | "input_tokens",
        output: Raw<'de> = "completion_tokens" | "output_tokens",
        total: Raw<'de> = "total_tokens",
        cached: Raw<'de> = "prompt_cache_hit_tokens" | "cached_tokens",
        input_details: UsageDetailsWire<'de> = "prompt_tokens_details" | "input_tokens_details",
        output_details: UsageDetailsWire<'de> = "completion_tokens_details" | "output_tokens_details",
    }

    /// What the counts consist of.
    UsageDetailsWire {
        cached: Raw<'de> = "cached_tokens",
        reasoning: Raw<'de> = "reasoning_tokens",
    }
}

impl ChunkWire<'_> {
    /// The field that shows the event to be of Anthropic Messages, of the Responses API or of Gemini; `None` if there is none.
    pub(super) fn other_dialect(&self) -> Option<String> {
        if self.choices.is_some() {
            return None;
        }
        let kind: String = self.kind.and_then(|kind| serde_json::from_str(kind.get()).ok()).unwrap_or_default();
        if kind.starts_with("response.") || matches!(&*kind, "message_start" | "content_block_start" | "content_block_delta") {
            return Some(format!("the type {kind:?}"));
        }
        let fields = [("candidates", self.candidates), ("promptFeedback", self.prompt_feedback)];
        fields.iter().find(|(_, field)| field.is_some()).map(|(name, _)| format!("`{name}`"))
    }
}

/// Lists and objects within each other that a content may have. Mistral's thinking has four.
const CONTENT_DEPTH_MAX: usize = 8;

/// The texts of a content, and whether each is reasoning: of a string, of a number as it is written, or of the parts of a list.
pub(super) fn texts(content: Raw<'_>) -> Result<Vec<(bool, WireText)>, serde_json::Error> {
    let mut found = Vec::new();
    add_texts(content, false, CONTENT_DEPTH_MAX, &mut found)?;
    Ok(found)
}

fn add_texts(
    content: Raw<'_>,
    is_reasoning: bool,
    depth: usize,
    found: &mut Vec<(bool, WireText)>,
) -> Result<(), serde_json::Error> {
    let json = content.get();
    let Some(depth) = depth.checked_sub(1) else { return Err(serde::de::Error::custom("a content nested too deeply")) };
    match json.as_bytes().first() {
        Some(b'"') => found.push((is_reasoning, serde_json::from_str(json)?)),
        Some(b'0'..=b'9' | b'-') => found.push((is_reasoning, WireText::from(json))),
        Some(b'[') => {
            for part in serde_json::from_str::<Vec<&RawValue>>(json)? {
                add_texts(part, is_reasoning, depth, found)?;
            }
        }
        Some(b'{') => {
            let part: PartWire<'_> = serde_json::from_str(json)?;
            let texts = [(part.text, is_reasoning), (part.thinking, true), (part.summary, true)];
            for (text, is_reasoning) in texts {
                text.map_or(Ok(()), |text| add_texts(text, is_reasoning, depth, found))?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A text of one kind, whatever its parts say.
pub(super) fn text(content: Raw<'_>) -> Result<WireText, serde_json::Error> {
    Ok(texts(content)?.into_iter().map(|(_, text)| text).collect())
}

/// A tool call's arguments: a string, or else the JSON itself.
pub(super) fn arguments(raw: Raw<'_>) -> Result<WireText, serde_json::Error> {
    if raw.get().starts_with('"') { serde_json::from_str(raw.get()) } else { Ok(WireText::from(raw.get())) }
}
