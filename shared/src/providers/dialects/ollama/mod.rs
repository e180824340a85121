//! `POST {base}/api/chat`, streamed as newline-delimited JSON: the native dialect of Ollama.
//!
//! Source: Ollama's API documentation, "Generate a chat completion".

mod decoder;
mod messages;
mod wire;

use serde_json::{Map, Value, json};

pub(in crate::providers) use self::decoder::Decoder;
use self::messages::render;
use crate::generation::request::Request;
use crate::providers::outgoing::{Outgoing, fill, stop_sequences, tools_and_choice, without_foreign_options};

/// The request in this dialect.
pub(in crate::providers) fn outgoing(request: &Request) -> Outgoing {
    Outgoing::post("/api/chat", body(request))
}

/// The body of a request. The caller's `provider_options` go in last but cannot turn streaming off; `options` of theirs are added to
/// those of the request.
fn body(request: &Request) -> Value {
    let format = request.response_format.as_ref().filter(|format| format["type"] != "text");
    let schema = format.map(|format| format.pointer("/json_schema/schema").cloned().unwrap_or_else(|| "json".into()));
    let mut body = json!({ "model": request.model, "messages": render(request.conversation()) });
    let tools = request.tools.as_ref().map(|_| tools_and_choice(request).0.into());
    fill(&mut body, [("tools", tools), ("format", schema)]);
    let mut options = options(request);
    for (name, value) in without_foreign_options(&request.provider_options) {
        match (name.as_str(), value) {
            ("options", Value::Object(own)) => options.extend(own.clone()),
            _ => body[name] = value.clone(),
        }
    }
    if !options.is_empty() {
        body["options"] = options.into();
    }
    body["stream"] = true.into();
    body
}

fn options(request: &Request) -> Map<String, Value> {
    let optional = [
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        ("num_predict", request.max_output_tokens.map(Value::from)),
        ("seed", request.seed.map(Value::from)),
        ("stop", stop_sequences(request)),
    ];
    optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests;
