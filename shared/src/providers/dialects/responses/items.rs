//! A conversation as input items, and fields of chat completions in the form that they have in the Responses API.

use serde_json::{Map, Value, json};

use crate::generation::conversation::{Content, Conversation, Entry, Extra, FileReference, Message, Part, Role, ToolCall};
use crate::generation::request::Request;

/// Converts a `response_format` of chat completions to `text.format`: the same fields, one level higher.
#[must_use]
pub fn text_format(format: Option<&Value>) -> Value {
    match format {
        None => json!({ "type": "text" }),
        Some(format) => flattened(format, "json_schema"),
    }
}

/// Converts a tool or a tool choice of chat completions: the fields of a function, of a custom tool and of a choice among allowed tools
/// move one level up; anything else is unchanged.
#[must_use]
pub fn flat_function(tool: &Value) -> Value {
    match tool["type"].as_str() {
        Some("custom") => {
            let mut tool = flattened(tool, "custom");
            if tool["format"]["grammar"].is_object() {
                tool["format"] = flattened(&tool["format"], "grammar");
            }
            tool
        }
        Some("allowed_tools") => {
            let mut choice = flattened(tool, "allowed_tools");
            if let Some(tools) = choice["tools"].as_array_mut() {
                for tool in tools {
                    *tool = flat_function(tool);
                }
            }
            choice
        }
        _ => flattened(tool, "function"),
    }
}

fn flattened(value: &Value, name: &str) -> Value {
    let Some(inner) = value[name].as_object() else { return value.clone() };
    let kind = [("type".to_owned(), Value::from(name))];
    kind.into_iter().chain(inner.clone()).collect::<Map<_, _>>().into()
}

/// Whether the caller has written input items, which are sent as they are.
pub(super) fn is_verbatim(request: &Request) -> bool {
    request.responses.as_deref().is_some_and(|responses| responses.input.is_some())
}

/// The input items of a request.
pub(super) fn input(request: &Request) -> Vec<Value> {
    match request.responses.as_deref().and_then(|responses| responses.input.as_deref()) {
        Some(items) => items.iter().filter_map(as_sent).collect(),
        None => render(request.conversation()),
    }
}

/// The kinds of items that this server makes itself, with ids that the provider does not know.
const OWN_KINDS: [&str; 6] =
    ["message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"];

/// A caller's item, without an id that the provider does not know. Reasoning that is not encrypted has only its id to be found by, so it
/// is left out.
fn as_sent(item: &Value) -> Option<Value> {
    if item["type"] == "reasoning" && !item["encrypted_content"].is_string() {
        return None;
    }
    let mut item = item.clone();
    if OWN_KINDS.contains(&item["type"].as_str().unwrap_or("message")) {
        item.as_object_mut()?.shift_remove("id");
    }
    Some(item)
}

/// Renders a conversation. Reasoning is left out: a provider accepts only its own.
fn render(conversation: Conversation) -> Vec<Value> {
    let items = conversation.entries.into_iter().flat_map(|entry| match entry {
        Entry::Reasoning(_) => Vec::new(),
        Entry::ToolCall(call) => vec![function_call(call)],
        Entry::Message(message) => message_items(message),
    });
    items.collect()
}

fn message_items(message: Message) -> Vec<Value> {
    let Message { role, content, tool_calls, tool_call_id, .. } = message;
    if role == Role::Tool {
        let output: Value = match content {
            Some(content) if has_more_than_text(&content) => parts(content, "input_text").into(),
            content => content.as_ref().map(Content::text).unwrap_or_default().into(),
        };
        return vec![json!({ "type": "function_call_output", "call_id": tool_call_id, "output": output })];
    }
    let said = content.filter(|content| !matches!(content, Content::Text(text) if text.is_empty()));
    let kind = if role == Role::Assistant { "output_text" } else { "input_text" };
    let said = said.map(|content| match content {
        Content::Text(text) => json!({ "role": role.as_str(), "content": text }),
        content @ Content::Parts(_) => json!({ "role": role.as_str(), "content": parts(content, kind) }),
    });
    said.into_iter().chain(tool_calls.into_iter().map(function_call)).collect()
}

fn has_more_than_text(content: &Content) -> bool {
    matches!(content, Content::Parts(parts) if parts.iter().any(|part| !matches!(part, Part::Text { .. })))
}

fn parts(content: Content, kind: &str) -> Vec<Value> {
    match content {
        Content::Text(text) => vec![json!({ "type": kind, "text": text })],
        Content::Parts(parts) => parts.into_iter().map(|part| self::part(part, kind)).collect(),
    }
}

fn part(part: Part, kind: &str) -> Value {
    match part {
        Part::Text { text, .. } => json!({ "type": kind, "text": text }),
        Part::Image { url, extra } => {
            let mut image = json!({ "type": "input_image", "image_url": url });
            if let Some(detail) = detail(&extra) {
                image["detail"] = detail.clone();
            }
            image
        }
        Part::File { file: FileReference { id, url, data, name }, .. } => {
            let fields = [("file_id", id), ("file_url", url), ("file_data", data), ("filename", name)];
            let mut file = json!({ "type": "input_file" });
            for (field, value) in fields {
                if let Some(value) = value {
                    file[field] = value.into();
                }
            }
            file
        }
        // One of this API's own.
        Part::Other(part) => part,
    }
}

fn detail(extra: &Extra) -> Option<&Value> {
    extra.get("image_url")?.get("detail").filter(|detail| detail.is_string())
}

fn function_call(call: ToolCall) -> Value {
    match call {
        ToolCall::Function { id, name, arguments, .. } => {
            json!({ "type": "function_call", "call_id": id, "name": name, "arguments": arguments })
        }
        ToolCall::Other(call) if call["custom"].is_object() => {
            let (name, input) = (&call["custom"]["name"], &call["custom"]["input"]);
            json!({ "type": "custom_tool_call", "call_id": call["id"], "name": name, "input": input })
        }
        ToolCall::Other(call) => call,
    }
}
