//! Converts between fields of the Responses API and those of chat completions, and checks input items.

use serde_json::{Map, Value, json};

use crate::error::FieldError;

/// Converts `text.format` to a `response_format`: the same fields, one level deeper. The inverse is
/// [`text_format`](crate::providers::text_format).
pub fn response_format(format: &Value) -> Value {
    if format["type"] != "json_schema" {
        return format.clone();
    }
    json!({ "type": "json_schema", "json_schema": without_type(format) })
}

/// Converts a tool or a tool choice: a function's fields move one level down, anything else is unchanged. The inverse is
/// [`flat_function`](crate::providers::flat_function).
pub fn nested_function(tool: &Value) -> Value {
    if tool["type"] != "function" {
        return tool.clone();
    }
    json!({ "type": "function", "function": without_type(tool) })
}

fn without_type(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "type");
    fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// Reports everything in the items that a conversation cannot hold.
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
