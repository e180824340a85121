//! Input items of the Responses API as entries of a conversation.

use serde_json::{Map, Value, json};

use super::{Conversation, Entry, Message, Reasoning, ToolCall};

/// The text of a result that has none of its own.
const BESIDE: &str = "The result is in the next message.";

impl Conversation {
    /// Adds input items in their order. An item of an unknown type is left out.
    ///
    /// A tool's result is text in most APIs, so the images and files of results in a row become a message of the user behind them.
    pub fn add_items<'a>(&mut self, items: impl IntoIterator<Item = &'a Value>) {
        let mut beside_results = Vec::new();
        for item in items {
            if is_result(item) {
                let (result, others) = result(item);
                self.entries.push(result);
                beside_results.extend(others);
            } else {
                // Reasoning is no message, and may stand between two results.
                if item["type"] != "reasoning" {
                    self.add_parts(&mut beside_results);
                }
                self.entries.extend(entry(item));
            }
        }
        self.add_parts(&mut beside_results);
    }

    fn add_parts(&mut self, parts: &mut Vec<Value>) {
        if !parts.is_empty() {
            let content = std::mem::take(parts);
            self.entries.push(Entry::Message(Message::from_chat(json!({ "role": "user", "content": content }))));
        }
    }
}

fn is_text(part: &Value) -> bool {
    matches!(part["type"].as_str(), Some("input_text" | "output_text" | "text"))
}

fn is_result(item: &Value) -> bool {
    item["type"] == "function_call_output" || item["type"] == "custom_tool_call_output"
}

/// A tool's result, and the parts of it that are no text.
fn result(item: &Value) -> (Entry, Vec<Value>) {
    let (mut text, mut others) = (item["output"].clone(), Vec::new());
    if let Some(parts) = item["output"].as_array() {
        let (of_text, rest): (Vec<&Value>, Vec<&Value>) = parts.iter().partition(|part| is_text(part));
        others = rest.into_iter().map(part).collect();
        text = content(&of_text.into_iter().cloned().collect());
        if !others.is_empty() && text == json!([]) {
            text = BESIDE.into();
        }
    }
    let message = json!({ "role": "tool", "tool_call_id": item["call_id"], "content": text });
    (Entry::Message(Message::from_chat(message)), others)
}

fn entry(item: &Value) -> Option<Entry> {
    Some(match item["type"].as_str() {
        Some("function_call") => {
            let function = json!({ "name": item["name"], "arguments": item["arguments"] });
            Entry::ToolCall(ToolCall::from_chat(json!({ "id": item["call_id"], "type": "function", "function": function })))
        }
        Some("custom_tool_call") => {
            let custom = json!({ "name": item["name"], "input": item["input"] });
            Entry::ToolCall(ToolCall::from_chat(json!({ "id": item["call_id"], "type": "custom", "custom": custom })))
        }
        Some("message") | None => {
            Entry::Message(Message::from_chat(json!({ "role": role(item), "content": content(&item["content"]) })))
        }
        Some("reasoning") => Entry::Reasoning(reasoning(item)),
        Some(_) => return None,
    })
}

fn reasoning(item: &Value) -> Reasoning {
    let texts =
        |name: &str| item[name].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>();
    let text = Some(texts("content").concat()).filter(|text| !text.is_empty()).unwrap_or_else(|| texts("summary").join("\n\n"));
    Reasoning { text, item: item.as_object().cloned().unwrap_or_default() }
}

/// `developer` becomes `system`: only one provider accepts `developer`, and both mean the same.
fn role(item: &Value) -> &str {
    match item["role"].as_str() {
        Some("developer") | None => "system",
        Some(role) => role,
    }
}

/// A single part of text becomes a string, which every provider accepts.
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
        Some("input_file") => {
            let fields = part.as_object().into_iter().flatten().filter(|(name, _)| *name != "type");
            let file: Map<String, Value> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
            json!({ "type": "file", "file": file })
        }
        _ => part.clone(),
    }
}
