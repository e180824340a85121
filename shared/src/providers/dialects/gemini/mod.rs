//! `POST {base}/models/{model}:streamGenerateContent?alt=sse`: the dialect of Gemini.
//!
//! Source: the Gemini API reference, `models.streamGenerateContent` (v1beta).

mod contents;
mod decoder;
mod wire;

use serde_json::{Map, Value, json};

use self::contents::render;
pub(in crate::providers) use self::decoder::Decoder;
use crate::generation::request::Request;
use crate::providers::outgoing::{Outgoing, fill, path_segment, stop_sequences, tools_and_choice, without_foreign_options};

/// The request in this dialect.
pub(in crate::providers) fn outgoing(request: &Request) -> Outgoing {
    let model = path_segment(request.model.trim_start_matches("models/"));
    Outgoing::post(format!("/models/{model}:streamGenerateContent?alt=sse"), body(request))
}

/// The body of a request. The caller's `provider_options` go in last.
fn body(request: &Request) -> Value {
    let conversation = request.conversation();
    let system = conversation.system_text();
    let (tools, choice) = tools_and_choice(request);
    let mut body = json!({ "contents": render(conversation) });
    let optional = [
        ("systemInstruction", (!system.is_empty()).then(|| json!({ "parts": [{ "text": system }] }))),
        ("generationConfig", Some(generation_config(request)).filter(|config| !config.is_empty()).map(Value::from)),
        ("tools", (!tools.is_empty()).then(|| self::tools(&tools))),
        ("toolConfig", choice.as_ref().map(tool_config)),
    ];
    fill(&mut body, optional);
    for (name, value) in without_foreign_options(&request.provider_options) {
        body[name] = value.clone();
    }
    body
}

fn generation_config(request: &Request) -> Map<String, Value> {
    let format = request.response_format.as_ref();
    let is_json = format.is_some_and(|format| format["type"] != "text");
    let optional = [
        ("temperature", request.temperature.map(Value::from)),
        ("topP", request.top_p.map(Value::from)),
        ("maxOutputTokens", request.max_output_tokens.map(Value::from)),
        ("stopSequences", stop_sequences(request)),
        ("seed", request.seed.map(Value::from)),
        ("responseMimeType", is_json.then(|| "application/json".into())),
        ("responseJsonSchema", format.and_then(|format| format.pointer("/json_schema/schema")).cloned()),
    ];
    optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Functions of OpenAI's API as declarations. A tool of another form is one of this API's own.
fn tools(tools: &[Value]) -> Value {
    let (mut declarations, mut own) = (Vec::new(), Vec::new());
    for tool in tools {
        let Some(function) = tool.get("function") else {
            own.push(tool.clone());
            continue;
        };
        let mut declaration = json!({ "name": function["name"] });
        for (theirs, named) in [("description", "description"), ("parameters", "parametersJsonSchema")] {
            if let Some(value) = function.get(theirs).filter(|value| !value.is_null()) {
                declaration[named] = value.clone();
            }
        }
        declarations.push(declaration);
    }
    if !declarations.is_empty() {
        own.push(json!({ "functionDeclarations": declarations }));
    }
    own.into()
}

fn tool_config(choice: &Value) -> Value {
    let config = match (choice.as_str(), choice.pointer("/function/name")) {
        (Some("required"), _) => json!({ "mode": "ANY" }),
        (Some("none"), _) => json!({ "mode": "NONE" }),
        (None, Some(name)) => json!({ "mode": "ANY", "allowedFunctionNames": [name] }),
        _ => json!({ "mode": "AUTO" }),
    };
    json!({ "functionCallingConfig": config })
}

#[cfg(test)]
mod tests;
