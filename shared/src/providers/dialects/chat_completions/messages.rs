//! A conversation as the `messages` of chat completions.
//!
//! A message that was read from this shape is rendered as it was, unknown fields and the order of fields included.

use serde_json::{Value, json};

use crate::generation::conversation::{Content, Conversation, Entry, Extra, FileReference, Message, Part, ToolCall, object_in};

/// Renders a conversation. Tool calls in a row become one assistant message, together with the assistant's message before them;
/// reasoning outside a message has no place here.
#[must_use]
pub fn chat_messages(conversation: Conversation) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::with_capacity(conversation.entries.len());
    let mut calls: Vec<Value> = Vec::new();
    for entry in conversation.entries {
        match entry {
            Entry::Reasoning(_) => {}
            Entry::ToolCall(call) => calls.push(render_tool_call(call)),
            Entry::Message(message) => {
                push_calls(&mut messages, &mut calls);
                messages.push(render_message(message));
            }
        }
    }
    push_calls(&mut messages, &mut calls);
    messages
}

fn push_calls(messages: &mut Vec<Value>, calls: &mut Vec<Value>) {
    if calls.is_empty() {
        return;
    }
    let calls = Value::from(std::mem::take(calls));
    match messages.last_mut().filter(|last| last["role"] == "assistant" && last["tool_calls"].is_null()) {
        Some(turn) => turn["tool_calls"] = calls,
        None => messages.push(json!({ "role": "assistant", "content": null, "tool_calls": calls })),
    }
}

fn render_message(message: Message) -> Value {
    let Message { role, content, reasoning, tool_calls, tool_call_id, extra: mut fields } = message;
    fill(&mut fields, "role", Some(role.as_str()));
    fill(&mut fields, "content", content.map(render_content));
    fill(&mut fields, "reasoning_content", reasoning);
    let calls: Vec<Value> = tool_calls.into_iter().map(render_tool_call).collect();
    fill(&mut fields, "tool_calls", Some(calls).filter(|calls| !calls.is_empty()));
    fill(&mut fields, "tool_call_id", tool_call_id);
    fields.into()
}

fn render_content(content: Content) -> Value {
    match content {
        Content::Text(text) => text.into(),
        Content::Parts(parts) => parts.into_iter().map(render_part).collect(),
    }
}

fn render_part(part: Part) -> Value {
    match part {
        Part::Text { text, extra: mut fields } => {
            fill(&mut fields, "type", Some("text"));
            fill(&mut fields, "text", Some(text));
            fields.into()
        }
        Part::Image { url, extra: mut fields } => {
            fill(&mut fields, "type", Some("image_url"));
            fill_in(&mut fields, "image_url", [("url", Some(url))]);
            fields.into()
        }
        Part::File { file: FileReference { id, url, data, name }, extra: mut fields } => {
            fill(&mut fields, "type", Some("file"));
            fill_in(&mut fields, "file", [("file_id", id), ("file_url", url), ("file_data", data), ("filename", name)]);
            fields.into()
        }
        Part::Other(part) => part,
    }
}

fn render_tool_call(call: ToolCall) -> Value {
    match call {
        ToolCall::Function { id, name, arguments, extra: mut fields } => {
            fill(&mut fields, "id", Some(id));
            fill_in(&mut fields, "function", [("name", Some(name)), ("arguments", Some(arguments))]);
            fields.into()
        }
        ToolCall::Other(call) => call,
    }
}

/// Puts a typed value into its field. A field that still holds the caller's own value is left alone.
fn fill(fields: &mut Extra, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        let field = fields.entry(name).or_insert(Value::Null);
        if field.is_null() {
            *field = value.into();
        }
    }
}

fn fill_in<const N: usize>(fields: &mut Extra, name: &str, values: [(&str, Option<String>); N]) {
    if let Some(object) = object_in(fields, name) {
        for (name, value) in values {
            fill(object, name, value);
        }
    }
}
