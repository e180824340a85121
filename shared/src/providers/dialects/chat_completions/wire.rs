//! The JSON of a chunk, read leniently: every field may be absent or null, and unknown ones are ignored.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::providers::WireText;

#[derive(Deserialize)]
pub(super) struct ChunkWire {
    pub choices: Option<Vec<ChoiceWire>>,
    pub usage: Option<Value>,
    pub error: Option<Value>,
    pub model: Option<String>,
    // The fields below occur only in the events of other dialects.
    #[serde(rename = "type")]
    kind: Option<Value>,
    candidates: Option<IgnoredAny>,
    #[serde(rename = "promptFeedback")]
    prompt_feedback: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct ChoiceWire {
    pub index: Option<u32>,
    pub delta: Option<DeltaWire>,
    pub finish_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct DeltaWire {
    pub content: Option<WireText>,
    pub reasoning: Option<WireText>,
    pub reasoning_content: Option<WireText>,
    pub refusal: Option<WireText>,
    pub tool_calls: Option<Vec<ToolCallWire>>,
}

#[derive(Deserialize)]
pub(super) struct ToolCallWire {
    pub index: Option<u32>,
    pub id: Option<String>,
    pub function: Option<FunctionWire>,
}

#[derive(Deserialize)]
pub(super) struct FunctionWire {
    pub name: Option<String>,
    pub arguments: Option<WireText>,
}

impl ChunkWire {
    /// The field that shows the event to be of Anthropic Messages, of the Responses API or of Gemini; `None` if there is none.
    pub(super) fn other_dialect(&self) -> Option<String> {
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
