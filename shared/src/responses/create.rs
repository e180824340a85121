//! The body of `POST /v1/responses`, as a request for a generation.

use serde_json::{Map, Value};

use super::chat;
use crate::error::{Error, FieldError};
use crate::generation::conversation::Conversation;
use crate::generation::request::{
    Request, RequestRules, ResponsesRequest, Validation, body_of_model, read_fields, speaks_responses, with_names,
};
use crate::json::schema::must_be;
use crate::providers::chat_messages;

/// Parameters that the response repeats, with their types.
const ECHOED: [(&str, &str); 10] = [
    ("max_tool_calls", "integer"),
    ("parallel_tool_calls", "boolean"),
    ("previous_response_id", "string"),
    ("prompt_cache_key", "string"),
    ("reasoning", "object"),
    ("safety_identifier", "string"),
    ("service_tier", "string"),
    ("top_logprobs", "integer"),
    ("truncation", "string"),
    ("user", "string"),
];
/// Those of [`ECHOED`] that chat completions have under the same name.
const SENT_ON: [&str; 5] = ["parallel_tool_calls", "prompt_cache_key", "safety_identifier", "service_tier", "user"];
/// Parameters that are fields of a generation's request under the same name.
const SHARED: [&str; 5] = ["instructions", "temperature", "top_p", "max_output_tokens", "metadata"];
/// Parameters that cannot be ignored, because each would change the answer.
const REFUSED: [&str; 2] = ["conversation", "prompt"];
const METADATA_PAIRS_MAX: usize = 16;
const METADATA_KEY_CHARS_MAX: usize = 64;
const METADATA_VALUE_CHARS_MAX: usize = 512;

/// The fields of a body, without those that are null.
///
/// # Errors
/// [`Error::RequestTooLarge`]; [`Error::InvalidRequest`]: it is no JSON object.
pub fn read_create(body: &[u8]) -> Result<Map<String, Value>, Error> {
    read_fields(body)
}

/// Parses and validates a body that refers to no earlier response.
///
/// # Errors
/// Those of [`read_create`] and [`create_request`].
pub fn parse_create(body: &[u8], rules: &RequestRules<'_>) -> Result<Request, Error> {
    create_request(&read_create(body)?, rules)
}

/// Validates the fields of a body. Unknown ones are ignored, as in the API.
///
/// The provider is `openai`, the default of every request, unless the model is written `provider/model` with the name of a
/// configured provider.
///
/// # Errors
/// [`Error::Refused`] for what is not supported; or [`Error::InvalidRequest`] with every error.
pub fn create_request(given: &Map<String, Value>, rules: &RequestRules<'_>) -> Result<Request, Error> {
    check_supported(given)?;
    let mut errors = Vec::new();
    check_own(given, &mut errors);
    let items = given.get("input").and_then(Value::as_array).cloned();
    let passed_on =
        speaks_responses(&body_of_model(given.get("model").and_then(Value::as_str).unwrap_or_default(), rules), rules);
    if let Some(items) = &items {
        chat::check_items(items, passed_on, &mut errors);
    }
    if let Some(tools) = given.get("tools").and_then(Value::as_array) {
        chat::check_tools(tools, passed_on, &mut errors);
    }
    if !errors.is_empty() {
        return Err(Error::InvalidRequest(errors));
    }
    let model = given["model"].as_str().unwrap_or_default().to_owned();
    let generation = generation_body(given, &model, items.as_deref(), rules);
    let mut request = Request::from_value(generation, rules).map_err(with_responses_names)?;
    if items.is_some() {
        request.messages = None;
    }
    // The events are final: a strict validation after the stream's end would contradict them.
    request.validation = Some(Validation::Soft);
    let flag = |name: &str, default| given.get(name).and_then(Value::as_bool).unwrap_or(default);
    request.responses = Some(Box::new(ResponsesRequest {
        model,
        background: flag("background", false),
        stream: flag("stream", false),
        store: flag("store", true),
        input: items,
        echo: echo(given),
    }));
    Ok(request)
}

fn check_supported(given: &Map<String, Value>) -> Result<(), Error> {
    if let Some(name) = REFUSED.iter().find(|name| given.contains_key(**name)) {
        let message = format!("'{name}' is not supported by this server: send the whole conversation as 'input'.");
        return Err(Error::refused(message, Some(name), Some("unsupported_parameter")));
    }
    let is = |name: &str| given.get(name).and_then(Value::as_bool);
    if is("background") == Some(true) && is("store") == Some(false) {
        let message = "'background' needs 'store' to be true: a background response is read after the call that creates it.";
        return Err(Error::refused(message, Some("background"), Some("unsupported_parameter")));
    }
    Ok(())
}

fn check_own(given: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    if !given.get("model").is_some_and(Value::is_string) {
        errors.push(FieldError::new("/model", "is required, as text"));
    }
    match given.get("input") {
        Some(Value::String(text)) if !text.is_empty() => {}
        Some(Value::Array(items)) if !items.is_empty() && items.iter().all(Value::is_object) => {}
        _ => errors.push(FieldError::new("/input", "is required: text, or a list of items, and not empty")),
    }
    let flags = ["background", "stream", "store"].map(|name| (name, "boolean"));
    for (name, kind) in flags.into_iter().chain([("text", "object")]).chain(ECHOED) {
        check_type(given.get(name), &format!("/{name}"), kind, errors);
    }
    let within = |name: &str, field: &str| given.get(name).and_then(|value| value.get(field)).filter(|value| !value.is_null());
    check_type(within("text", "format"), "/text/format", "object", errors);
    check_type(within("text", "verbosity"), "/text/verbosity", "string", errors);
    check_type(within("reasoning", "effort"), "/reasoning/effort", "string", errors);
    if let Some(metadata) = given.get("metadata") {
        check_metadata(metadata, errors);
    }
}

fn check_type(value: Option<&Value>, pointer: &str, kind: &str, errors: &mut Vec<FieldError>) {
    let is_right = value.is_none_or(|value| match kind {
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "object" => value.is_object(),
        _ => value.is_string(),
    });
    if !is_right {
        errors.push(FieldError::new(pointer, must_be(&[kind])));
    }
}

fn check_metadata(metadata: &Value, errors: &mut Vec<FieldError>) {
    let fits = |(key, value): (&String, &Value)| {
        let chars = value.as_str().map(|value| value.chars().count());
        key.chars().count() <= METADATA_KEY_CHARS_MAX && chars.is_some_and(|chars| chars <= METADATA_VALUE_CHARS_MAX)
    };
    if !metadata.as_object().is_some_and(|pairs| pairs.len() <= METADATA_PAIRS_MAX && pairs.iter().all(fits)) {
        let detail = format!(
            "must be an object of at most {METADATA_PAIRS_MAX} pairs: keys of up to {METADATA_KEY_CHARS_MAX} characters, values texts of up to {METADATA_VALUE_CHARS_MAX}"
        );
        errors.push(FieldError::new("/metadata", detail));
    }
}

/// The equivalent body of `POST /v1/generations`.
fn generation_body(given: &Map<String, Value>, model: &str, items: Option<&[Value]>, rules: &RequestRules<'_>) -> Value {
    let mut body = body_of_model(model, rules);
    match items {
        Some(items) => body["messages"] = messages(items).into(),
        None => body["prompt"] = given["input"].clone(),
    }
    for name in SHARED {
        if let Some(value) = given.get(name).filter(|value| value.as_str() != Some("")) {
            body[name] = value.clone();
        }
    }
    match given.get("tools") {
        Some(Value::Array(tools)) if tools.is_empty() => {}
        Some(Value::Array(tools)) => body["tools"] = tools.iter().map(chat::nested_function).collect(),
        Some(tools) => body["tools"] = tools.clone(),
        None => {}
    }
    // Providers refuse a choice without tools, and clients send it all the same.
    if let Some(choice) = given.get("tool_choice").filter(|_| body.get("tools").is_some()) {
        body["tool_choice"] = chat::nested_function(choice);
    }
    let text = given.get("text").unwrap_or(&Value::Null);
    if text["format"].is_object() {
        body["response_format"] = chat::response_format(&text["format"]);
    }
    let options = provider_options(given, text);
    if !options.is_empty() {
        body["provider_options"] = options.into();
    }
    body
}

fn messages(items: &[Value]) -> Vec<Value> {
    let mut conversation = Conversation::default();
    conversation.add_items(items);
    chat_messages(conversation)
}

/// Parameters that are passed to the provider unchanged. `parallel_tool_calls` without tools is left out: providers refuse it.
fn provider_options(given: &Map<String, Value>, text: &Value) -> Map<String, Value> {
    let has_tools = given.get("tools").and_then(Value::as_array).is_some_and(|tools| !tools.is_empty());
    let sent = SENT_ON.iter().filter(|name| has_tools || **name != "parallel_tool_calls");
    let mut options: Map<String, Value> = sent.filter_map(|name| Some(((*name).to_owned(), given.get(*name)?.clone()))).collect();
    let effort = given.get("reasoning").map(|reasoning| &reasoning["effort"]);
    for (name, value) in [("reasoning_effort", effort), ("verbosity", Some(&text["verbosity"]))] {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            options.insert(name.to_owned(), value.clone());
        }
    }
    options
}

fn echo(given: &Map<String, Value>) -> Map<String, Value> {
    let mut echo: Map<String, Value> =
        ECHOED.iter().filter_map(|(name, _)| Some(((*name).to_owned(), given.get(*name)?.clone()))).collect();
    let verbosity = given.get("text").and_then(|text| text.get("verbosity"));
    if let Some(verbosity) = verbosity.filter(|verbosity| !verbosity.is_null()) {
        echo.insert("verbosity".to_owned(), verbosity.clone());
    }
    echo
}

/// Renames the fields in errors to those of this API.
fn with_responses_names(error: Error) -> Error {
    const NAMES: [(&str, &str); 5] = [
        ("/response_format/json_schema", "/text/format"),
        ("/response_format", "/text/format"),
        ("/messages", "/input"),
        ("/prompt", "/input"),
        ("/provider", "/model"),
    ];
    with_names(error, &NAMES)
}
