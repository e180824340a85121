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

/// Converts a tool or a tool choice: the fields of a function, of a custom tool and of a choice among allowed tools move one level down,
/// anything else is unchanged. The inverse is [`flat_function`](crate::providers::flat_function).
pub fn nested_function(tool: &Value) -> Value {
    match tool["type"].as_str() {
        Some("function") => json!({ "type": "function", "function": without_type(tool) }),
        Some("custom") => {
            let mut custom = without_type(tool);
            if custom["format"]["type"] == "grammar" {
                custom["format"] = json!({ "type": "grammar", "grammar": without_type(&custom["format"]) });
            }
            json!({ "type": "custom", "custom": custom })
        }
        Some("allowed_tools") => {
            let tools: Vec<Value> = tool["tools"].as_array().into_iter().flatten().map(nested_function).collect();
            json!({ "type": "allowed_tools", "allowed_tools": { "mode": tool["mode"], "tools": tools } })
        }
        _ => tool.clone(),
    }
}

/// The tools that run at the provider and answer in text, by their types in the Responses API.
const HOSTED_TOOLS: [&str; 7] = [
    "code_interpreter",
    "file_search",
    "mcp",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
];
/// Tools whose calls or results are items that a log has no place for.
const OTHER_TOOLS: [&str; 7] =
    ["apply_patch", "computer", "computer_use_preview", "image_generation", "local_shell", "shell", "tool_search"];

/// Reports the tools that are not taken. `passed_on`: they go to a provider that speaks the Responses API.
pub fn check_tools(tools: &[Value], passed_on: bool, errors: &mut Vec<FieldError>) {
    for (index, tool) in tools.iter().enumerate() {
        let Some(kind) = tool["type"].as_str() else { continue };
        let pointer = format!("/tools/{index}/type");
        if OTHER_TOOLS.contains(&kind) {
            let detail = format!("must be another tool than `{kind}`, whose calls are items that this server does not keep");
            errors.push(FieldError::new(pointer, detail));
        } else if HOSTED_TOOLS.contains(&kind) && !passed_on {
            let detail = format!(
                "must be `function` or `custom`, not `{kind}`, which runs at a provider that speaks the Responses API; name such a \
                 model as `openai-responses/MODEL`"
            );
            errors.push(FieldError::new(pointer, detail));
        } else if kind == "mcp" && tool["require_approval"] != "never" {
            let detail = "must be `never`: a request for approval is an item that this server does not keep";
            errors.push(FieldError::new(format!("/tools/{index}/require_approval"), detail));
        }
    }
}

fn without_type(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "type");
    fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// Reports everything in the items that a conversation cannot hold. `passed_on`: they go to a provider that speaks the Responses API, and
/// takes more kinds of them.
pub fn check_items(items: &[Value], passed_on: bool, errors: &mut Vec<FieldError>) {
    for (index, item) in items.iter().enumerate() {
        match item["type"].as_str() {
            Some("reasoning") => {}
            Some("function_call") => require_text(item, index, &["call_id", "name", "arguments"], errors),
            Some("custom_tool_call") => require_text(item, index, &["call_id", "name", "input"], errors),
            Some("function_call_output" | "custom_tool_call_output") => {
                require_text(item, index, &["call_id"], errors);
                if !passed_on {
                    check_images(item, "output", index, errors);
                }
            }
            None if !item["type"].is_null() => errors.push(FieldError::new(format!("/input/{index}/type"), "must be a string")),
            Some("message") | None => check_message(item, index, errors),
            Some(_) if passed_on => {}
            Some(kind) => {
                let detail = format!(
                    "`{kind}` is a kind of input for a provider that speaks the Responses API only; name such a model as \
                     `openai-responses/MODEL`"
                );
                errors.push(FieldError::new(format!("/input/{index}/type"), detail));
            }
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
    check_images(item, "content", index, errors);
}

fn check_images(item: &Value, field: &str, index: usize, errors: &mut Vec<FieldError>) {
    for (place, part) in item[field].as_array().into_iter().flatten().enumerate() {
        if part["type"] == "input_image" && !part["image_url"].is_string() {
            let detail = "is required: files stored at a provider are not taken";
            errors.push(FieldError::new(format!("/input/{index}/{field}/{place}/image_url"), detail));
        }
    }
}

fn require_text(item: &Value, index: usize, names: &[&str], errors: &mut Vec<FieldError>) {
    for name in names.iter().filter(|name| !item[**name].is_string()) {
        errors.push(FieldError::new(format!("/input/{index}/{name}"), "is required, as text"));
    }
}
