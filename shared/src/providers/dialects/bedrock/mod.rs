//! `POST {base}/model/{model}/converse-stream`: the dialect of Amazon Bedrock.
//!
//! Source: the Amazon Bedrock API reference, `ConverseStream`. The service's own SDK is not used: it refuses a stream with a kind of
//! block that it does not know, and adds as much to an archive as everything else that speaks to providers.

mod decoder;
mod messages;
mod wire;

use serde_json::{Map, Value, json};

pub(in crate::providers) use self::decoder::Decoder;
use self::messages::render;
use crate::generation::request::Request;
use crate::providers::outgoing::{Outgoing, fill, path_segment, stop_sequences, tools_and_choice, without_foreign_options};

/// The request in this dialect.
pub(in crate::providers) fn outgoing(request: &Request) -> Outgoing {
    Outgoing::post(format!("/model/{}/converse-stream", path_segment(&request.model)), body(request))
}

/// The body of a request. The caller's `provider_options` go in last; a model's own options stand in their
/// `additionalModelRequestFields`. `seed` has no place here.
fn body(request: &Request) -> Value {
    let conversation = request.conversation();
    let system = conversation.system_text();
    let mut body = json!({ "messages": render(conversation) });
    let optional = [
        ("system", (!system.is_empty()).then(|| json!([{ "text": system }]))),
        ("inferenceConfig", Some(inference_config(request)).filter(|config| !config.is_empty()).map(Value::from)),
        ("toolConfig", tool_config(request)),
        ("outputConfig", request.response_format.as_ref().and_then(output_config)),
    ];
    fill(&mut body, optional);
    for (name, value) in without_foreign_options(&request.provider_options) {
        body[name] = value.clone();
    }
    body
}

fn inference_config(request: &Request) -> Map<String, Value> {
    let optional = [
        ("maxTokens", request.max_output_tokens.map(Value::from)),
        ("temperature", request.temperature.map(Value::from)),
        ("topP", request.top_p.map(Value::from)),
        ("stopSequences", stop_sequences(request)),
    ];
    optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Tools and the choice among them. The API has no choice of none: the tools are then left out, as the model may not call any.
fn tool_config(request: &Request) -> Option<Value> {
    let (tools, choice) = tools_and_choice(request);
    if tools.is_empty() {
        return None;
    }
    let choice = match &choice {
        None => None,
        Some(choice) => match (choice.as_str(), choice.pointer("/function/name")) {
            (Some("none"), _) => return None,
            (Some("required"), _) => Some(json!({ "any": {} })),
            (Some(_), _) => Some(json!({ "auto": {} })),
            (None, Some(name)) => Some(json!({ "tool": { "name": name } })),
            // One of this API's own.
            (None, None) => Some(choice.clone()),
        },
    };
    let mut config = json!({ "tools": tools.iter().map(tool).collect::<Vec<_>>() });
    if let Some(choice) = choice {
        config["toolChoice"] = choice;
    }
    Some(config)
}

/// A function of OpenAI's API. A tool of another form is one of this API's own.
fn tool(tool: &Value) -> Value {
    let Some(function) = tool.get("function") else { return tool.clone() };
    let schema = function.get("parameters").filter(|parameters| parameters.is_object()).cloned();
    let mut spec = json!({ "name": function["name"] });
    for name in ["description", "strict"] {
        if let Some(value) = function.get(name).filter(|value| !value.is_null()) {
            spec[name] = value.clone();
        }
    }
    spec["inputSchema"] = json!({ "json": schema.unwrap_or_else(|| json!({ "type": "object" })) });
    json!({ "toolSpec": spec })
}

/// Output by a schema, which the API takes as text. It has no form for JSON without one.
fn output_config(format: &Value) -> Option<Value> {
    let schema = format.pointer("/json_schema/schema")?;
    let mut structure = json!({ "schema": schema.to_string() });
    for name in ["name", "description"] {
        if let Some(value) = format["json_schema"].get(name).filter(|value| value.is_string()) {
            structure[name] = value.clone();
        }
    }
    Some(json!({ "textFormat": { "type": "json_schema", "structure": { "jsonSchema": structure } } }))
}

#[cfg(test)]
mod tests;
