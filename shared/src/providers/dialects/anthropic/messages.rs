//! A conversation as the `system` and the `messages` of the Messages API.

use serde_json::{Value, json};

use crate::generation::conversation::{Content, Conversation, Entry, Extra, FileReference, Message, Part, Role, ToolCall};
use crate::providers::outgoing::{arguments_object, inline_data, turns};

/// Renders the rest of a conversation. Blocks of one author in a row become one message, as the API requires of tool results.
/// Reasoning is left out: a provider accepts only its own, unchanged and with a signature.
pub(super) fn render(conversation: Conversation) -> Vec<Value> {
    let said = conversation.entries.into_iter().filter_map(|entry| match entry {
        Entry::Reasoning(_) => None,
        Entry::ToolCall(call) => Some(("assistant", vec![tool_use(call)])),
        Entry::Message(message) => (!message.role.is_system()).then(|| message_blocks(message)),
    });
    turns(said, "content")
}

fn message_blocks(message: Message) -> (&'static str, Vec<Value>) {
    let content = message.content.map_or_else(Vec::new, content_blocks);
    match message.role {
        Role::Tool => {
            let result = json!({ "type": "tool_result", "tool_use_id": message.tool_call_id, "content": content });
            ("user", vec![result])
        }
        Role::Assistant => ("assistant", content.into_iter().chain(message.tool_calls.into_iter().map(tool_use)).collect()),
        Role::User | Role::System | Role::Developer => ("user", content),
    }
}

fn content_blocks(content: Content) -> Vec<Value> {
    match content {
        // The API refuses blocks without text.
        Content::Text(text) if text.is_empty() => Vec::new(),
        Content::Text(text) => vec![json!({ "type": "text", "text": text })],
        Content::Parts(parts) => parts.into_iter().filter_map(block).collect(),
    }
}

fn block(part: Part) -> Option<Value> {
    let with = |mut block: Value, extra: &Extra| {
        if let Some(control) = extra.get("cache_control").filter(|control| !control.is_null()) {
            block["cache_control"] = control.clone();
        }
        Some(block)
    };
    match part {
        Part::Text { text, .. } if text.is_empty() => None,
        Part::Text { text, extra } => with(json!({ "type": "text", "text": text }), &extra),
        Part::Image { url, extra } => with(json!({ "type": "image", "source": source(&url) }), &extra),
        Part::File { file: FileReference { id, url, data, name }, extra } => {
            let source = match (id, url, data) {
                (Some(id), ..) => json!({ "type": "file", "file_id": id }),
                (None, Some(url), _) => json!({ "type": "url", "url": url }),
                (None, None, Some(data)) if data.starts_with("data:") => source(&data),
                (None, None, data) => json!({ "type": "base64", "media_type": "application/pdf", "data": data }),
            };
            let mut document = json!({ "type": "document", "source": source });
            if let Some(name) = name {
                document["title"] = name.into();
            }
            with(document, &extra)
        }
        // One of this API's own.
        Part::Other(part) => Some(part),
    }
}

fn source(url: &str) -> Value {
    match inline_data(url) {
        Some((media_type, data)) => json!({ "type": "base64", "media_type": media_type, "data": data }),
        None => json!({ "type": "url", "url": url }),
    }
}

fn tool_use(call: ToolCall) -> Value {
    match call {
        ToolCall::Function { id, name, arguments, .. } => {
            json!({ "type": "tool_use", "id": id, "name": name, "input": arguments_object(&arguments) })
        }
        ToolCall::Other(call) => call,
    }
}
