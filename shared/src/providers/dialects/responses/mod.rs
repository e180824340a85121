//! `POST {base}/responses`, streamed: the dialect of OpenAI's Responses API and of servers that speak it.
//!
//! With `continuation: "retrieve"`, the response runs in the background: the provider keeps it, and a stream that broke off is read
//! again behind its last event.
//!
//! Sources: OpenAI's API reference, Responses and Streaming events; its guide to background mode
//! (<https://developers.openai.com/api/docs/guides/background>).

mod decoder;
mod items;
mod wire;

use serde_json::{Map, Value, json};

pub(in crate::providers) use self::decoder::Decoder;
pub use self::items::{flat_function, text_format};
use crate::generation::request::Request;
use crate::providers::outgoing::{Outgoing, fill, path_segment};
use crate::providers::sse::SseEvent;
use crate::providers::{Continuation, Fault, ProviderError, ProviderSettings, Upstream};

/// The parameters of a caller of the Responses API that only this API has.
const OWN_PARAMETERS: [&str; 4] = ["max_tool_calls", "reasoning", "top_logprobs", "truncation"];

/// The request in this dialect.
pub(in crate::providers) fn outgoing(settings: &ProviderSettings, request: &Request) -> Outgoing {
    Outgoing::post("/responses", body(settings, request))
}

/// The request for the rest of a response that the provider keeps.
pub(in crate::providers) fn rest(upstream: &Upstream) -> Outgoing {
    let after = upstream.cursor.map_or_else(String::new, |cursor| format!("&starting_after={cursor}"));
    Outgoing::get(format!("/responses/{}?stream=true{after}", path_segment(&upstream.id)))
}

/// The path at which a response is read whole, as it is now.
pub(in crate::providers) fn path(response_id: &str) -> String {
    format!("/responses/{}", path_segment(response_id))
}

/// The event with which the stream of a response would have ended, for one that was read whole; `None`: it has not ended.
///
/// # Errors
/// The body is no response.
pub(in crate::providers) fn last_event(body: &str) -> Result<Option<SseEvent>, ProviderError> {
    let unreadable = || ProviderError::new(Fault::Unreadable, "the provider answered what is no response of the Responses API");
    let response: Value = serde_json::from_str(body).map_err(|_| unreadable())?;
    let kind = match response["status"].as_str().ok_or_else(unreadable)? {
        "queued" | "in_progress" => return Ok(None),
        status @ ("completed" | "incomplete") => format!("response.{status}"),
        _ => "response.failed".to_owned(),
    };
    let data = json!({ "type": kind, "response": response }).to_string();
    Ok(Some(SseEvent { event: Some(kind), data, is_unterminated: false }))
}

/// The path at which a response is cancelled.
pub(in crate::providers) fn cancel_path(response_id: &str) -> String {
    format!("{}/cancel", path(response_id))
}

/// Whether the provider keeps the response.
pub(in crate::providers) fn is_kept(settings: &ProviderSettings) -> bool {
    settings.continuation == Some(Continuation::Retrieve)
}

/// The body of a request. The caller's `provider_options` go in last but cannot turn streaming off. `seed` has no place here; `stop`
/// has none either, and is sent so that the provider refuses it: without it, the answer would be another.
fn body(settings: &ProviderSettings, request: &Request) -> Value {
    let mut body = json!({ "model": request.model, "input": items::input(request) });
    let responses = request.responses.as_deref();
    let tools = request.tools.as_ref().and_then(Value::as_array);
    let optional = [
        ("instructions", request.instructions.as_deref().filter(|_| items::is_verbatim(request)).map(Value::from)),
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        ("max_output_tokens", request.max_output_tokens.map(Value::from)),
        ("stop", request.stop.clone()),
        ("text", request.response_format.as_ref().map(|format| json!({ "format": text_format(Some(format)) }))),
        ("tools", tools.map(|tools| tools.iter().map(flat_function).collect())),
        ("tool_choice", request.tool_choice.as_ref().map(flat_function)),
    ];
    fill(&mut body, optional);
    for name in OWN_PARAMETERS {
        if let Some(value) = responses.and_then(|responses| responses.echo.get(name)) {
            body[name] = value.clone();
        }
    }
    put_options(&mut body, &request.provider_options);
    let is_kept = is_kept(settings);
    if is_kept {
        body["background"] = true.into();
    } else if let Some(fields) = body.as_object_mut() {
        // Nobody would cancel a response that runs on.
        fields.shift_remove("background");
    }
    body["store"] = is_kept.into();
    body["stream"] = true.into();
    body
}

/// Options of chat completions go where this API has them.
fn put_options(body: &mut Value, options: &Map<String, Value>) {
    for (name, value) in options {
        match name.as_str() {
            "reasoning_effort" => put_within(body, "reasoning", "effort", value),
            "verbosity" => put_within(body, "text", "verbosity", value),
            _ => body[name] = value.clone(),
        }
    }
}

fn put_within(body: &mut Value, object: &str, name: &str, value: &Value) {
    if !body[object].is_object() {
        body[object] = json!({});
    }
    if body[object][name].is_null() {
        body[object][name] = value.clone();
    }
}

#[cfg(test)]
mod tests;
