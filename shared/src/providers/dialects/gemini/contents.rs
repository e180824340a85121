//! A conversation as `systemInstruction` and `contents`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::generation::conversation::{Content, Conversation, Entry, FileReference, Message, Part, Role, ToolCall};
use crate::providers::outgoing::{arguments_object, inline_data, turns};

/// Renders the rest of a conversation. Parts of one author in a row become one content. Reasoning is left out.
pub(super) fn render(conversation: Conversation) -> Vec<Value> {
    // A result names its function, and a message of the caller only the call.
    let mut names = HashMap::new();
    let said = conversation.entries.into_iter().filter_map(|entry| match entry {
        Entry::Reasoning(_) => None,
        Entry::ToolCall(call) => Some(("model", vec![function_call(call, &mut names)])),
        Entry::Message(message) => (!message.role.is_system()).then(|| message_parts(message, &mut names)),
    });
    turns(said, "parts")
}

fn message_parts(message: Message, names: &mut HashMap<String, String>) -> (&'static str, Vec<Value>) {
    let Message { role, content, tool_calls, tool_call_id, .. } = message;
    if role == Role::Tool {
        let name = tool_call_id.as_ref().and_then(|id| names.get(id)).cloned().unwrap_or_default();
        let text = content.as_ref().map(Content::text).unwrap_or_default();
        // The API takes an object: the result's own, or one that holds the result.
        let result: Map<String, Value> =
            serde_json::from_str(&text).unwrap_or_else(|_| [("result".to_owned(), text.into())].into_iter().collect());
        return ("user", vec![json!({ "functionResponse": { "name": name, "response": result } })]);
    }
    let parts = content.map_or_else(Vec::new, content_parts);
    let calls = tool_calls.into_iter().map(|call| function_call(call, names));
    if role == Role::Assistant { ("model", parts.into_iter().chain(calls).collect()) } else { ("user", parts) }
}

fn content_parts(content: Content) -> Vec<Value> {
    match content {
        Content::Text(text) if text.is_empty() => Vec::new(),
        Content::Text(text) => vec![json!({ "text": text })],
        Content::Parts(parts) => parts.into_iter().map(part).collect(),
    }
}

fn part(part: Part) -> Value {
    match part {
        Part::Text { text, .. } => json!({ "text": text }),
        Part::Image { url, .. } => data(&url, "image/*"),
        Part::File { file: FileReference { id, url, data: bytes, .. }, .. } => match (id.or(url), bytes) {
            (Some(uri), _) => json!({ "fileData": { "fileUri": uri } }),
            (None, bytes) => {
                let bytes = bytes.unwrap_or_default();
                let url = if bytes.starts_with("data:") { bytes } else { format!("data:application/pdf;base64,{bytes}") };
                data(&url, "application/pdf")
            }
        },
        // One of this API's own.
        Part::Other(part) => part,
    }
}

fn data(url: &str, kind: &str) -> Value {
    match inline_data(url) {
        Some((kind, data)) => json!({ "inlineData": { "mimeType": kind, "data": data } }),
        None => json!({ "fileData": { "mimeType": kind, "fileUri": url } }),
    }
}

fn function_call(call: ToolCall, names: &mut HashMap<String, String>) -> Value {
    match call {
        ToolCall::Function { id, name, arguments, .. } => {
            names.insert(id, name.clone());
            json!({ "functionCall": { "name": name, "args": arguments_object(&arguments) } })
        }
        ToolCall::Other(call) => call,
    }
}
