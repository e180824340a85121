//! Between the words of the Responses API and those of chat completions, in which requests are stored and sent.

use serde_json::{Map, Value, json};

use crate::error::FieldError;

/// `text.format` as a `response_format`. The same fields, one level deeper.
pub fn response_format(format: &Value) -> Value {
    if format["type"] != "json_schema" {
        return format.clone();
    }
    json!({ "type": "json_schema", "json_schema": without_type(format) })
}

/// [`response_format`], undone.
pub fn text_format(format: Option<&Value>) -> Value {
    match format {
        None => json!({ "type": "text" }),
        Some(format) => flattened(format, "json_schema"),
    }
}

/// A tool, or the choice of one: functions move one level down, everything else is passed on as it is.
pub fn nested_function(tool: &Value) -> Value {
    if tool["type"] != "function" {
        return tool.clone();
    }
    json!({ "type": "function", "function": without_type(tool) })
}

/// [`nested_function`], undone.
pub fn flat_function(tool: &Value) -> Value {
    flattened(tool, "function")
}

fn without_type(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "type");
    fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
}

fn flattened(value: &Value, name: &str) -> Value {
    let Some(inner) = value[name].as_object() else { return value.clone() };
    let kind = [("type".to_owned(), Value::from(name))];
    kind.into_iter().chain(inner.clone()).collect::<Map<_, _>>().into()
}

/// Input items as messages. Consecutive function calls become one assistant message; reasoning has no place there.
pub fn messages(items: &[Value]) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::with_capacity(items.len());
    for item in items {
        match item["type"].as_str() {
            Some("function_call") => push_call(&mut messages, item),
            Some("function_call_output") => {
                let (call, content) = (&item["call_id"], content(&item["output"]));
                messages.push(json!({ "role": "tool", "tool_call_id": call, "content": content }));
            }
            Some("message") | None => messages.push(json!({ "role": role(item), "content": content(&item["content"]) })),
            Some(_) => {}
        }
    }
    messages
}

/// Everything in the items that [`messages`] could not send on.
pub fn check_items(items: &[Value], errors: &mut Vec<FieldError>) {
    for (index, item) in items.iter().enumerate() {
        match item["type"].as_str() {
            Some("reasoning") => {}
            Some("function_call") => require_text(item, index, &["call_id", "name", "arguments"], errors),
            Some("function_call_output") => require_text(item, index, &["call_id"], errors),
            None if !item["type"].is_null() => errors.push(FieldError::new(format!("/input/{index}/type"), "must be a string")),
            Some("message") | None => check_message(item, index, errors),
            Some(_) => errors.push(FieldError::new(format!("/input/{index}/type"), "is not a kind of input that is taken")),
        }
    }
}

fn check_message(item: &Value, index: usize, errors: &mut Vec<FieldError>) {
    let known = ["user", "assistant", "system", "developer"];
    if !item["role"].as_str().is_some_and(|role| known.contains(&role)) {
        errors.push(FieldError::new(format!("/input/{index}/role"), format!("must be one of {}", known.join(", "))));
    }
    if !item["content"].is_string() && !item["content"].is_array() {
        errors.push(FieldError::new(format!("/input/{index}/content"), "must be text or a list of parts"));
    }
    for (place, part) in item["content"].as_array().into_iter().flatten().enumerate() {
        if part["type"] == "input_image" && !part["image_url"].is_string() {
            let detail = "is required: files stored at a provider are not taken";
            errors.push(FieldError::new(format!("/input/{index}/content/{place}/image_url"), detail));
        }
    }
}

fn require_text(item: &Value, index: usize, names: &[&str], errors: &mut Vec<FieldError>) {
    for name in names.iter().filter(|name| !item[**name].is_string()) {
        errors.push(FieldError::new(format!("/input/{index}/{name}"), "is required, as text"));
    }
}

/// `developer` is known to one provider only; `system` says the same to all.
fn role(item: &Value) -> &str {
    match item["role"].as_str() {
        Some("developer") | None => "system",
        Some(role) => role,
    }
}

fn push_call(messages: &mut Vec<Value>, item: &Value) {
    let function = json!({ "name": item["name"], "arguments": item["arguments"] });
    let call = json!({ "id": item["call_id"], "type": "function", "function": function });
    match messages.last_mut().and_then(|message| message.get_mut("tool_calls")?.as_array_mut()) {
        Some(calls) => calls.push(call),
        None => messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] })),
    }
}

/// Text alone stays a string, which every provider takes.
fn content(content: &Value) -> Value {
    let Some(parts) = content.as_array() else { return content.clone() };
    match parts.as_slice() {
        [part] if part["text"].is_string() => part["text"].clone(),
        parts => parts.iter().map(part).collect(),
    }
}

fn part(part: &Value) -> Value {
    match part["type"].as_str() {
        Some("input_text" | "output_text") => json!({ "type": "text", "text": part["text"] }),
        Some("input_image") => {
            let mut image = json!({ "url": part["image_url"] });
            if part["detail"].is_string() {
                image["detail"] = part["detail"].clone();
            }
            json!({ "type": "image_url", "image_url": image })
        }
        Some("input_file") => json!({ "type": "file", "file": without_type(part) }),
        _ => part.clone(),
    }
}
