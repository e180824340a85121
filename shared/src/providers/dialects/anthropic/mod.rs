//! `POST {base}/messages`, streamed: the dialect of Anthropic and of gateways that speak it.
//!
//! Source: Anthropic's API reference, Messages and Streaming Messages (`anthropic-version: 2023-06-01`).

mod decoder;
mod messages;
mod wire;

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

pub(in crate::providers) use self::decoder::Decoder;
use self::messages::render;
use crate::generation::request::Request;
use crate::providers::outgoing::{Outgoing, fill, stop_sequences, tools_and_choice, without_foreign_options};

/// The version of the API, which every request names.
const VERSION: (HeaderName, HeaderValue) = (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
/// The API requires a limit on output tokens. Every model since Claude 4 accepts this one.
const MAX_TOKENS: u64 = 32_000;
/// The request in this dialect.
pub(in crate::providers) fn outgoing(request: &Request) -> Outgoing {
    Outgoing { headers: vec![VERSION], ..Outgoing::post("/messages", body(request)) }
}

/// The body of a request. The caller's `provider_options` go in last but cannot turn streaming off. `seed` has no place here.
fn body(request: &Request) -> Value {
    let conversation = request.conversation();
    let system = conversation.system_text();
    let sampling = (!refuses_sampling(&request.model)).then_some(());
    let (tools, choice) = tools_and_choice(request);
    let optional = [
        ("system", (!system.is_empty()).then(|| system.into())),
        ("temperature", sampling.and(request.temperature).map(Value::from)),
        ("top_p", sampling.and(request.top_p).map(Value::from)),
        ("stop_sequences", stop_sequences(request)),
        ("tools", request.tools.as_ref().map(|_| tools.iter().map(tool).collect())),
        ("tool_choice", tool_choice(request, choice)),
        ("output_config", request.response_format.as_ref().and_then(output_config)),
    ];
    let mut body = json!({ "model": request.model, "max_tokens": request.max_output_tokens.unwrap_or(MAX_TOKENS) });
    body["messages"] = render(conversation).into();
    fill(&mut body, optional);
    for (name, value) in without_foreign_options(&request.provider_options) {
        body[name] = value.clone();
    }
    body["stream"] = true.into();
    body
}

/// Claude Opus from 4.7 on refuses `temperature` and `top_p`.
fn refuses_sampling(model: &str) -> bool {
    let Some((_, version)) = model.split_once("claude-opus-") else { return false };
    let mut numbers = version.split('-').map_while(|number| number.parse::<u32>().ok()).filter(|number| *number < 100);
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (4, 7)
}

/// A tool of OpenAI's API as one of this. A tool of another form is one of this API's own.
fn tool(tool: &Value) -> Value {
    let Some(function) = tool.get("function").and_then(Value::as_object) else { return tool.clone() };
    let mut rendered = Map::new();
    for (theirs, own) in [("name", "name"), ("description", "description"), ("parameters", "input_schema"), ("strict", "strict")]
    {
        if let Some(value) = function.get(theirs).filter(|value| !value.is_null()) {
            rendered.insert(own.to_owned(), value.clone());
        }
    }
    rendered.entry("input_schema").or_insert_with(|| json!({ "type": "object" }));
    rendered.into()
}

fn tool_choice(request: &Request, choice: Option<Value>) -> Option<Value> {
    let one_at_a_time = request.provider_options.get("parallel_tool_calls") == Some(&Value::Bool(false));
    let word = choice.as_ref().and_then(Value::as_str).map(str::to_owned);
    let mut choice = match (choice, word.as_deref()) {
        (_, Some("required")) => json!({ "type": "any" }),
        (_, Some(word)) => json!({ "type": word }),
        (Some(choice), None) => match choice.pointer("/function/name") {
            Some(name) => json!({ "type": "tool", "name": name }),
            None => choice,
        },
        (None, None) if one_at_a_time && request.tools.is_some() => json!({ "type": "auto" }),
        (None, None) => return None,
    };
    if one_at_a_time && choice["type"] != "none" {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

/// Output by a schema. The API has no form for JSON without one.
fn output_config(format: &Value) -> Option<Value> {
    let schema = format.pointer("/json_schema/schema")?;
    Some(json!({ "format": { "type": "json_schema", "schema": schema } }))
}

#[cfg(test)]
mod tests;
