//! `POST {base}/chat/completions`, streamed: the dialect of `OpenAI`, `RouteLLM`, vLLM, llama.cpp, Ollama, `LiteLLM` and others.
//!
//! Responses are read leniently: fields may be unknown, missing or null, and a finish reason may be unknown. But an event that
//! cannot be read is an error: it might have held text.

mod calls;
mod decoder;
mod messages;
mod wire;

use serde_json::{Value, json};

pub(in crate::providers) use self::decoder::Decoder;
pub use self::messages::chat_messages;
use crate::generation::request::Request;
use crate::providers::outgoing::{Outgoing, fill};
use crate::providers::{Continuation, ProviderSettings};

/// The request in this dialect.
pub(in crate::providers) fn outgoing(settings: &ProviderSettings, request: &Request, prefix: &str) -> Outgoing {
    Outgoing::post("/chat/completions", body(settings, request, prefix))
}

/// The body of a request. The caller's `provider_options` go in last but cannot turn streaming off.
fn body(settings: &ProviderSettings, request: &Request, prefix: &str) -> Value {
    let mut messages = chat_messages(request.conversation());
    let continuation = settings.continuation.filter(|_| !prefix.is_empty());
    if let Some(continuation) = continuation {
        let mut message = json!({ "role": "assistant", "content": prefix });
        if continuation == Continuation::PrefixFlag {
            message["prefix"] = true.into();
        }
        messages.push(message);
    }
    let mut body = json!({ "model": request.model, "messages": messages });
    let optional = [
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        (settings.max_tokens_name.as_str(), request.max_output_tokens.map(Value::from)),
        ("stop", request.stop.clone()),
        ("seed", request.seed.map(Value::from)),
        ("response_format", request.response_format.clone()),
        ("tools", request.tools.clone()),
        ("tool_choice", request.tool_choice.clone()),
    ];
    fill(&mut body, optional);
    for (name, value) in &request.provider_options {
        body[name] = value.clone();
    }
    if continuation == Some(Continuation::ContinueFinalMessage) {
        body["continue_final_message"] = true.into();
        body["add_generation_prompt"] = false.into();
    }
    body["stream"] = true.into();
    // A log holds one answer.
    if let Some(fields) = body.as_object_mut() {
        fields.shift_remove("n");
    }
    if settings.stream_options {
        body["stream_options"] = json!({ "include_usage": true });
    }
    body
}

#[cfg(test)]
mod tests;
