//! A request for a generation: parsed once, with all errors reported together.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, FieldError};
use crate::generation::conversation::{Conversation, Entry, Message, Role};
use crate::hash::sha256_hex;
use crate::ids::{GenerationId, SubjectId};
use crate::json::json_bytes;
use crate::json::schema::{GENERATION_REQUEST, Schema};
use crate::limits;

/// U+FEFF in UTF-8, which JSON text must not begin with (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The first bytes of a gzip file (RFC 1952, section 2.3.1).
pub const GZIP_MAGIC: &[u8] = b"\x1f\x8b";

/// A request for a generation, as `infra/schemas/generation-request.schema.json` describes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The name of a configured provider.
    #[serde(default = "default_provider")]
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// One user message; or `messages`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The conversation so far, in the shape of chat completions; or `prompt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Value>>,
    /// A system message before the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// The provider's limit on output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Sequences that end the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Value>,
    /// The sampling seed, for providers that support one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// As in chat completions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    /// Passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Value>,
    /// Passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// The caller's own entries, which the record shows as `request_metadata`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Who or what asked, as the caller numbers it. Part of the record's metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiator: Option<i64>,
    /// The instruction that was used, and where it came from. Part of the record's metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_instruction: Option<Value>,
    /// Bytes of output that the caller expects, for `percent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_total_bytes: Option<u64>,
    /// Deltas that the caller expects, for `percent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_total_chunks: Option<u64>,
    /// What happens to a result that does not pass validation; `None`: the deployment's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// What happens once the output can no longer match its schema; `None`: it is reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_schema_violation: Option<OnSchemaViolation>,
    /// Respond with the stream itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// Delete the buffer after compaction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete_after: bool,
    /// A lower limit than the deployment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_bytes: Option<u64>,
    /// A lower or higher limit than the deployment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// A shorter time than the deployment's for the whole generation, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Merged into the provider's request body.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_options: Map<String, Value>,
    /// What the generation is about. Once it has completed, it is the subject's next version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectId>,
    /// Why it is asked for, as the version tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_reason: Option<String>,
    /// Who is told of the end, as [`Notify`](crate::notifications::notify::Notify) describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Value>,
    /// The generation that this one repeats. Not a field of the request: a retry sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<GenerationId>,
    /// For a request that came through the Responses API: the fields that only that API has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses: Option<Box<ResponsesRequest>>,
    /// For a request that came through the chat completions API: the same of that API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_completion: Option<Box<ChatCompletionRequest>>,
}

/// The fields of a chat completions request that [`Request`] has no place for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatCompletionRequest {
    /// The model, as the caller named it: `model` or `provider/model`.
    pub model: String,
    /// Return chunks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// The last chunk has the usage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_usage: bool,
}

/// The fields of a Responses API create request that [`Request`] has no place for. The response object repeats them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResponsesRequest {
    /// The model, as the caller named it: `model` or `provider/model`.
    pub model: String,
    /// Return before the response is complete; such a response can be cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub background: bool,
    /// Return the events; a background response can then be streamed again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// `false`: the response cannot be retrieved.
    #[serde(default = "default_store", skip_serializing_if = "Clone::clone")]
    pub store: bool,
    /// The input items as they were sent. `None`: the input was text, which is the request's prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Vec<Value>>,
    /// Parameters that the response repeats. Some are also in `provider_options`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub echo: Map<String, Value>,
}

const fn default_store() -> bool {
    true
}

/// The facts of a deployment that a request is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRules<'a> {
    /// The names of the configured providers, sorted.
    pub providers: Vec<&'a str>,
    /// Those of them that speak the Responses API.
    pub responses_providers: Vec<&'a str>,
    /// The largest `max_output_bytes` that a request may set.
    pub max_output_bytes: u64,
    /// The largest `timeout` that a request may set, in seconds.
    pub timeout_seconds: u64,
}

/// What happens to a result that does not pass validation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// The result is stored, and its metadata lists the errors.
    #[default]
    Soft,
    /// The generation fails with the reason `validation_error`; the blob is kept for inspection.
    Strict,
}

/// What happens once the output can no longer match its schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSchemaViolation {
    /// An event reports the violation, and the generation continues.
    #[default]
    Report,
    /// An event reports the violation, and the generation fails with the reason `schema_violation`.
    Stop,
}

/// The provider of a request that names none.
const DEFAULT_PROVIDER: &str = "openai";

/// The form that the result must have.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// Any text.
    Text,
    /// Any JSON.
    Json,
    /// JSON that matches this schema.
    Schema(Value),
}

fn default_provider() -> String {
    DEFAULT_PROVIDER.to_owned()
}

impl Request {
    /// The length of the request as JSON: the estimate of a prompt's cost until the provider reports usage.
    #[must_use]
    pub fn json_bytes(&self) -> u64 {
        json_bytes(self)
    }

    /// Parses and validates a body.
    ///
    /// # Errors
    /// [`Error::RequestTooLarge`]; or [`Error::InvalidRequest`] with every error.
    pub fn parse(body: &[u8], rules: &RequestRules<'_>) -> Result<Self, Error> {
        Self::from_value(read_json(body)?, rules)
    }

    /// Validates a parsed body.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every error.
    pub(crate) fn from_value(mut value: Value, rules: &RequestRules<'_>) -> Result<Self, Error> {
        let mut errors = GENERATION_REQUEST.errors(&value);
        if let Some(object) = value.as_object() {
            check_across_fields(object, rules, &mut errors);
        }
        if !errors.is_empty() {
            return Err(Error::InvalidRequest(errors));
        }
        write_integers(&mut value);
        serde_json::from_value(value).map_err(|error| Error::invalid("", format!("cannot be read: {error}")))
    }

    /// The conversation: instructions, then messages, then input items, then the prompt.
    #[must_use]
    pub fn conversation(&self) -> Conversation {
        let instructions = self.instructions.iter().map(|text| Message::text(Role::System, text));
        let messages = self.messages.iter().flatten().cloned().map(Message::from_chat);
        let mut conversation = Conversation { entries: instructions.chain(messages).map(Entry::Message).collect() };
        conversation.add_items(self.responses.iter().filter_map(|responses| responses.input.as_deref()).flatten());
        conversation.entries.extend(self.prompt.iter().map(|text| Entry::Message(Message::text(Role::User, text))));
        conversation
    }

    /// The names of the tools that take text where functions take JSON.
    #[must_use]
    pub fn custom_tools(&self) -> BTreeSet<String> {
        let tools = self.tools.as_ref().and_then(Value::as_array).into_iter().flatten();
        tools
            .filter(|tool| tool["type"] == "custom")
            .filter_map(|tool| tool["custom"]["name"].as_str())
            .map(str::to_owned)
            .collect()
    }

    /// The form that the result must have.
    #[must_use]
    pub fn expected(&self) -> Expected {
        let format = self.response_format.as_ref();
        match format.and_then(|format| format["type"].as_str()) {
            Some("json_object") => Expected::Json,
            Some("json_schema") => format
                .and_then(|format| format.pointer("/json_schema/schema"))
                .map_or(Expected::Json, |schema| Expected::Schema(schema.clone())),
            _ => Expected::Text,
        }
    }

    /// What the model is given to continue, as text: the prompt as it was sent, where that is all; or else the JSON text of an object of
    /// those of `instructions`, `messages`, `input` and `prompt` that the request has.
    #[must_use]
    pub fn prompt_text(&self) -> String {
        let input = self.responses.as_ref().and_then(|responses| responses.input.as_ref());
        match (&self.prompt, &self.instructions, &self.messages, input) {
            (Some(prompt), None, None, None) => prompt.clone(),
            (prompt, instructions, messages, input) => {
                let mut given = json!({ "instructions": instructions, "messages": messages, "input": input, "prompt": prompt });
                if let Some(fields) = given.as_object_mut() {
                    fields.retain(|_, value| !value.is_null());
                }
                given.to_string()
            }
        }
    }

    /// SHA-256 in hex of what the model is given to continue: instructions, messages, input items and prompt; independent of the order of
    /// fields and of white space in their JSON.
    #[must_use]
    pub fn prompt_sha256(&self) -> String {
        let input = self.responses.as_ref().and_then(|responses| responses.input.as_ref());
        let mut sorted =
            json!({ "instructions": self.instructions, "messages": self.messages, "input": input, "prompt": self.prompt });
        sorted.sort_all_objects();
        sha256_hex(sorted.to_string())
    }

    /// SHA-256 in hex of the request; independent of the order of fields and of white space in its JSON.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut sorted = serde_json::to_value(self).unwrap_or_default();
        sorted.sort_all_objects();
        sha256_hex(sorted.to_string())
    }
}

/// The JSON of a body.
///
/// # Errors
/// [`Error::RequestTooLarge`]; [`Error::InvalidRequest`]: it is no JSON.
pub(crate) fn read_json(body: &[u8]) -> Result<Value, Error> {
    if body.len() > limits::REQUEST_BYTES_MAX {
        return Err(Error::RequestTooLarge(body.len()));
    }
    serde_json::from_slice(body).map_err(|error| Error::invalid("", describe_json_error(body, &error)))
}

/// The fields of a body of one of OpenAI's APIs, in which null means absent.
///
/// # Errors
/// [`Error::RequestTooLarge`]; [`Error::InvalidRequest`]: it is no JSON object.
pub(crate) fn read_fields(body: &[u8]) -> Result<Map<String, Value>, Error> {
    let Value::Object(mut fields) = read_json(body)? else { return Err(Error::invalid("", "must be a JSON object")) };
    fields.retain(|_, value| !value.is_null());
    Ok(fields)
}

/// The beginning of a generation's body: its model, and its provider if the model is written `provider/model` with the name of a
/// configured one.
pub(crate) fn body_of_model(model: &str, rules: &RequestRules<'_>) -> Value {
    match model.split_once('/').filter(|(provider, _)| rules.providers.contains(provider)) {
        Some((provider, model)) => json!({ "model": model, "provider": provider }),
        None => json!({ "model": model }),
    }
}

/// Whether the provider of such a body speaks the Responses API.
pub(crate) fn speaks_responses(body: &Value, rules: &RequestRules<'_>) -> bool {
    rules.responses_providers.contains(&body["provider"].as_str().unwrap_or(DEFAULT_PROVIDER))
}

/// Renames fields in errors to those of the API that the caller speaks; `names` are pairs of ours and theirs.
pub(crate) fn with_names(error: Error, names: &[(&str, &str)]) -> Error {
    let Error::InvalidRequest(mut errors) = error else { return error };
    for error in &mut errors {
        let named = names.iter().find_map(|(ours, theirs)| Some(format!("{theirs}{}", error.pointer.strip_prefix(ours)?)));
        error.pointer = named.unwrap_or_else(|| std::mem::take(&mut error.pointer));
    }
    Error::InvalidRequest(errors)
}

/// Describes why a body is not JSON, and where.
fn describe_json_error(body: &[u8], error: &serde_json::Error) -> String {
    let detail = error.to_string();
    if body.is_empty() {
        return "must be a JSON object, and is empty".into();
    }
    // Both come from files: one as some editors save them, one as some tools send them.
    if body.starts_with(BYTE_ORDER_MARK) {
        return "must begin with the JSON object, and begins with a byte order mark".into();
    }
    if body.starts_with(GZIP_MAGIC) {
        return "must be plain JSON, and is compressed by gzip".into();
    }
    if detail.starts_with("recursion limit exceeded") {
        return format!("must be nested less deep: {detail}");
    }
    if error.is_eof() {
        return format!("must be a JSON object, and ends within it, at line {} column {}", error.line(), error.column());
    }
    format!("must be a JSON object, and is no JSON: {detail}")
}

const INTEGERS: [&str; 8] = [
    "max_output_tokens",
    "max_output_bytes",
    "max_attempts",
    "timeout",
    "seed",
    "initiator",
    "expected_total_bytes",
    "expected_total_chunks",
];

/// Writes `1.0` as `1`: JSON Schema accepts it as an integer, serde does not.
fn write_integers(body: &mut Value) {
    for name in INTEGERS {
        if let Some(number) = body.get_mut(name)
            && number.is_f64()
            && let Some(integer) = number.as_f64().and_then(exact_integer)
        {
            *number = integer.into();
        }
    }
}

fn exact_integer(number: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    let is_exact = number.fract() == 0.0 && (-BOUND..BOUND).contains(&number);
    #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number within the bounds of i64")]
    is_exact.then_some(number as i64)
}

/// Checks what the schema, which describes fields one by one, cannot express.
fn check_across_fields(body: &Map<String, Value>, rules: &RequestRules<'_>, errors: &mut Vec<FieldError>) {
    match (body.contains_key("prompt"), body.contains_key("messages")) {
        (true, true) => errors.push(FieldError::new("/messages", "cannot be given together with `prompt`; give one of the two")),
        (false, false) => errors.push(FieldError::new("/prompt", "is required, unless `messages` is given")),
        _ => {}
    }
    if let Some(provider) = body.get("provider").and_then(Value::as_str)
        && !rules.providers.contains(&provider)
    {
        let known = rules.providers.join(", ");
        errors.push(FieldError::new("/provider", format!("must be one that this deployment knows: {known}")));
    }
    if let Some(bytes) = body.get("max_output_bytes").and_then(Value::as_u64)
        && bytes > rules.max_output_bytes
    {
        let most = rules.max_output_bytes;
        errors.push(FieldError::new("/max_output_bytes", format!("must be at most {most}, the deployment's limit")));
    }
    if let Some(seconds) = body.get("timeout").and_then(Value::as_u64)
        && seconds > rules.timeout_seconds
    {
        let expected = format!("must be at most {}, the deployment's limit in seconds", rules.timeout_seconds);
        errors.push(FieldError::new("/timeout", expected));
    }
    if let Some(metadata) = body.get("metadata") {
        let bytes = json_bytes(metadata);
        if bytes > limits::METADATA_BYTES_MAX as u64 {
            let expected = format!("must have at most {} bytes as JSON; it has {bytes}", limits::METADATA_BYTES_MAX);
            errors.push(FieldError::new("/metadata", expected));
        }
    }
    if body.contains_key("change_reason") && !body.contains_key("subject") {
        errors.push(FieldError::new("/change_reason", "needs a `subject`, whose version tells it"));
    }
    check_response_format(body, errors);
}

fn check_response_format(body: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let stops = body.get("on_schema_violation").is_some_and(|word| word == "stop");
    let has_schema = body.get("response_format").is_some_and(|format| format["type"] == "json_schema");
    if stops && !has_schema {
        errors.push(FieldError::new("/on_schema_violation", "needs a `response_format` with a `json_schema`"));
    }
    let Some(format) = body.get("response_format") else { return };
    let schema = format.pointer("/json_schema/schema");
    if format["type"] == "json_schema" && format.get("json_schema").is_none() {
        errors.push(FieldError::new("/response_format/json_schema", "is required with the type `json_schema`"));
    }
    if let Some(Err(wrong)) = schema.filter(|schema| schema.is_object()).map(Schema::compile) {
        let within =
            |error: FieldError| FieldError::new(format!("/response_format/json_schema/schema{}", error.pointer), error.detail);
        errors.extend(wrong.into_iter().map(within));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<Request, Error> {
        let rules =
            RequestRules { providers: vec!["openai"], responses_providers: vec![], max_output_bytes: 1_000, timeout_seconds: 60 };
        Request::parse(body.to_string().as_bytes(), &rules)
    }

    #[test]
    fn whole_floats_are_integers() {
        let body = json!({ "model": "m", "prompt": "x", "seed": -9.0, "max_output_tokens": 1e6, "max_output_bytes": 1e3, "max_attempts": 2.0 });
        let request = parse(&body).unwrap();
        assert_eq!((request.seed, request.max_output_tokens), (Some(-9), Some(1_000_000)));
        assert_eq!((request.max_output_bytes, request.max_attempts), (Some(1_000), Some(2)));
        assert!(parse(&json!({ "model": "m", "prompt": "x", "seed": 0.5 })).is_err());
    }

    proptest! {
        #[test]
        fn integers_survive_as_floats(number in -9_007_199_254_740_992_i64..=9_007_199_254_740_992) {
            #[expect(clippy::cast_precision_loss, reason = "within 2^53 there is none")]
            let float = number as f64;
            prop_assert_eq!(exact_integer(float), Some(number));
        }

        #[test]
        fn only_integers_of_64_bits_are_exact(number: f64) {
            let text = format!("{number:.0}");
            prop_assert_eq!(exact_integer(number), text.parse().ok().filter(|_| number.fract() == 0.0));
        }

        #[test]
        fn json_bytes_is_the_length_of_the_text(prompt in ".{0,40}") {
            let request = parse(&json!({ "model": "m", "prompt": format!("x{prompt}"), "temperature": 0.1 })).unwrap();
            prop_assert_eq!(request.json_bytes(), serde_json::to_string(&request).unwrap().len() as u64);
        }
    }
}
