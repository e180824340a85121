//! A conversation as Ollama's messages: text, images in base64, tool calls with arguments as objects.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::generation::conversation::{Content, Conversation, Entry, Message, Part, Role, ToolCall};
use crate::providers::outgoing::{arguments_object, inline_data};

/// Renders a conversation. Reasoning is left out.
pub(super) fn render(conversation: Conversation) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    // A result names its tool, and a message of the caller only the call.
    let mut names = HashMap::new();
    for entry in conversation.entries {
        let message = match entry {
            Entry::Reasoning(_) => continue,
            Entry::ToolCall(call) => json!({ "role": "assistant", "content": "", "tool_calls": [tool_call(call, &mut names)] }),
            Entry::Message(message) => self::message(message, &mut names),
        };
        messages.push(message);
    }
    messages
}

fn message(message: Message, names: &mut HashMap<String, String>) -> Value {
    let role = if message.role.is_system() { Role::System } else { message.role };
    let text = message.content.as_ref().map(Content::text).unwrap_or_default();
    let mut rendered = json!({ "role": role.as_str(), "content": text });
    let images = message.content.as_ref().map(images).unwrap_or_default();
    if !images.is_empty() {
        rendered["images"] = images.into();
    }
    let calls: Vec<Value> = message.tool_calls.into_iter().map(|call| tool_call(call, names)).collect();
    if !calls.is_empty() {
        rendered["tool_calls"] = calls.into();
    }
    if let Some(name) = message.tool_call_id.and_then(|id| names.get(&id).cloned()) {
        rendered["tool_name"] = name.into();
    }
    rendered
}

/// The images in base64. The API fetches none, so one that is a URL is passed on as it is, and refused there.
fn images(content: &Content) -> Vec<Value> {
    let Content::Parts(parts) = content else { return Vec::new() };
    let image = |part: &Part| {
        let Part::Image { url, .. } = part else { return None };
        Some(inline_data(url).map_or(url.as_str(), |(_, data)| data).into())
    };
    parts.iter().filter_map(image).collect()
}

fn tool_call(call: ToolCall, names: &mut HashMap<String, String>) -> Value {
    match call {
        ToolCall::Function { id, name, arguments, .. } => {
            names.insert(id, name.clone());
            json!({ "function": { "name": name, "arguments": arguments_object(&arguments) } })
        }
        ToolCall::Other(call) => call,
    }
}
