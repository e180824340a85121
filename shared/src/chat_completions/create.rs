//! The body of `POST /v1/chat/completions`, as a request for a generation.

use serde_json::{Map, Value, json};

use crate::error::{Error, FieldError};
use crate::generation::request::{
    ChatCompletionRequest, Request, RequestRules, Validation, body_of_model, read_fields, with_names,
};
use crate::json::schema::must_be;

/// Parameters that are fields of a generation's request under the same name.
const SHARED: [&str; 9] =
    ["messages", "temperature", "top_p", "stop", "seed", "response_format", "tools", "tool_choice", "metadata"];
/// Names of the limit on output tokens, the newer one first.
const LIMITS: [&str; 2] = ["max_completion_tokens", "max_tokens"];
/// Parameters of this server. Every other one goes to the provider unchanged.
const OWN: [&str; 6] = ["model", "stream", "stream_options", "store", "n", "modalities"];
/// Parameters whose part of the answer a log has no place for.
const REFUSED: [(&str, &str); 4] = [
    ("audio", "a completion is text"),
    ("functions", "use 'tools'"),
    ("function_call", "use 'tool_choice'"),
    ("web_search_options", "a completion has no annotations"),
];

/// Parses and validates a body. Parameters that are not known here are passed to the provider, whose API this is.
///
/// The provider is `openai`, the default of every request, unless the model is written `provider/model` with the name of a
/// configured provider. Without `store`, the buffer is deleted after compaction.
///
/// # Errors
/// [`Error::RequestTooLarge`]; [`Error::Refused`] for what is not supported; or [`Error::InvalidRequest`] with every error.
pub fn parse_create(body: &[u8], rules: &RequestRules<'_>) -> Result<Request, Error> {
    let given = read_fields(body)?;
    check_supported(&given)?;
    let errors = check(&given);
    if !errors.is_empty() {
        return Err(Error::InvalidRequest(errors));
    }
    let flag = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or(false);
    let (stream, store) = (flag(given.get("stream")), flag(given.get("store")));
    let include_usage = flag(given.get("stream_options").and_then(|options| options.get("include_usage")));
    let model = given["model"].as_str().unwrap_or_default().to_owned();
    let mut request = Request::from_value(generation_body(given, &model, rules), rules).map_err(with_own_names)?;
    // The chunks are final: a strict validation after the stream's end would contradict them.
    request.validation = Some(Validation::Soft);
    request.delete_after = !store;
    request.chat_completion = Some(Box::new(ChatCompletionRequest { model, stream, include_usage }));
    Ok(request)
}

fn check_supported(given: &Map<String, Value>) -> Result<(), Error> {
    let refused = |name: &str, why: &str, param| {
        let message = format!("'{name}' is not supported by this server: {why}.");
        Err(Error::refused(message, Some(param), Some("unsupported_parameter")))
    };
    if let Some((name, why)) = REFUSED.iter().find(|(name, _)| given.contains_key(*name)) {
        return refused(name, why, name);
    }
    if given.get("n").is_some_and(|n| n.as_f64() != Some(1.0)) {
        return refused("n", "a completion has one choice", "n");
    }
    if given.get("logprobs").is_some_and(|logprobs| *logprobs != json!(false)) {
        return refused("logprobs", "they are not kept", "logprobs");
    }
    if given.get("modalities").is_some_and(|modalities| *modalities != json!(["text"])) {
        return refused("modalities", "a completion is text", "modalities");
    }
    Ok(())
}

fn check(given: &Map<String, Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !given.get("model").is_some_and(Value::is_string) {
        errors.push(FieldError::new("/model", "is required, as text"));
    }
    if given.get("messages").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        errors.push(FieldError::new("/messages", "is required: a list of messages, and not empty"));
    }
    for name in ["stream", "store"] {
        if given.get(name).is_some_and(|flag| !flag.is_boolean()) {
            errors.push(FieldError::new(format!("/{name}"), must_be(&["boolean"])));
        }
    }
    let is_limit = |limit: &Value| limit.as_f64().is_some_and(|limit| limit >= 1.0 && limit.fract() == 0.0);
    for name in LIMITS {
        if given.get(name).is_some_and(|limit| !is_limit(limit)) {
            errors.push(FieldError::new(format!("/{name}"), "must be an integer of at least 1"));
        }
    }
    if given.get("stream_options").is_some_and(|options| !options.is_object()) {
        errors.push(FieldError::new("/stream_options", must_be(&["object"])));
    }
    if given.get("stream_options").and_then(|options| options.get("include_usage")).is_some_and(|flag| !flag.is_boolean()) {
        errors.push(FieldError::new("/stream_options/include_usage", must_be(&["boolean"])));
    }
    errors
}

/// The equivalent body of `POST /v1/generations`.
fn generation_body(given: Map<String, Value>, model: &str, rules: &RequestRules<'_>) -> Value {
    let mut body = body_of_model(model, rules);
    let limit = LIMITS.iter().find_map(|name| given.get(*name)).cloned();
    let mut options = Map::new();
    for (name, value) in given {
        if SHARED.contains(&name.as_str()) {
            body[name] = value;
        } else if !OWN.contains(&name.as_str()) && !LIMITS.contains(&name.as_str()) {
            options.insert(name, value);
        }
    }
    if let Some(limit) = limit {
        body["max_output_tokens"] = limit;
    }
    // Providers refuse these without tools, and clients send them all the same.
    if body.get("tools").is_none_or(|tools| *tools == json!([])) {
        options.shift_remove("parallel_tool_calls");
        if let Some(fields) = body.as_object_mut() {
            fields.shift_remove("tools");
            fields.shift_remove("tool_choice");
        }
    }
    if !options.is_empty() {
        body["provider_options"] = options.into();
    }
    body
}

/// Renames the fields in errors to those of this API.
fn with_own_names(error: Error) -> Error {
    const NAMES: [(&str, &str); 3] =
        [("/max_output_tokens", "/max_completion_tokens"), ("/provider_options", ""), ("/provider", "/model")];
    with_names(error, &NAMES)
}
