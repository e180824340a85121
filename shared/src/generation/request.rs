//! What a caller asks for: parsed once, with everything that is wrong reported at once.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Error, FieldError};
use crate::json::schema::{GENERATION_REQUEST, Schema};
use crate::limits;
use crate::responses::{Asked, chat_messages};

/// A request for a generation, as `infra/schemas/generation-request.schema.json` describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// A provider that the deployment knows.
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
    /// Put before the conversation as a system message.
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
    /// Where to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Value>,
    /// For providers that sample repeatably.
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
    /// The caller's own entries in the record's metadata.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// What happens to a result that does not pass validation; `None`: as the deployment has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// What happens as soon as the output cannot keep its schema any more; `None`: it is reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_schema_violation: Option<OnSchemaViolation>,
    /// Answer with the stream itself, from the writer.
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
    /// Merged into the provider's request body.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_options: Map<String, Value>,
    /// For one that came through the Responses API: what only that API knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses: Option<Box<Asked>>,
}

/// The facts of a deployment that a request is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRules<'a> {
    /// The names of the configured providers, sorted.
    pub providers: Vec<&'a str>,
    /// The largest `max_output_bytes` that a request may set.
    pub max_output_bytes: u64,
}

/// What happens to a result that does not pass validation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// It is kept, and the errors are told in its metadata.
    #[default]
    Soft,
    /// The generation fails with the reason `validation_error`; the blob is kept for inspection.
    Strict,
}

/// What happens as soon as the output cannot keep its schema any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSchemaViolation {
    /// An event says so, and the provider is read on.
    #[default]
    Report,
    /// An event says so, and the generation fails with the reason `schema_violation`.
    Stop,
}

/// The form a caller asked the result to have.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// Any.
    Text,
    /// JSON, of any shape.
    Json,
    /// JSON after this schema.
    Schema(Value),
}

fn default_provider() -> String {
    "openai".to_owned()
}

impl Request {
    /// The length of its JSON text: what a prompt costs is reckoned by it until the provider has counted.
    #[must_use]
    pub fn json_bytes(&self) -> u64 {
        serde_json::to_string(self).map_or(0, |text| text.len() as u64)
    }

    /// Reads and checks a body.
    ///
    /// # Errors
    /// [`Error::RequestTooLarge`]; or [`Error::InvalidRequest`] with everything that is wrong.
    pub fn parse(body: &[u8], rules: &RequestRules<'_>) -> Result<Self, Error> {
        if body.len() > limits::REQUEST_BYTES_MAX {
            return Err(Error::RequestTooLarge(body.len()));
        }
        let value: Value = serde_json::from_slice(body).map_err(|error| Error::invalid("", no_json(body, &error)))?;
        Self::from_value(value, rules)
    }

    /// Checks a body that has been read.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with everything that is wrong.
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

    /// The conversation as chat completions want it.
    #[must_use]
    pub fn chat_messages(&self) -> Vec<Value> {
        let system = self.instructions.iter().map(|text| json!({ "role": "system", "content": text }));
        let prompt = self.prompt.iter().map(|text| json!({ "role": "user", "content": text }));
        let items = self.responses.iter().filter_map(|asked| asked.input.as_deref()).flat_map(chat_messages);
        system.chain(self.messages.iter().flatten().cloned()).chain(items).chain(prompt).collect()
    }

    /// The form the result is to have.
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

    /// The same for the same request, however its JSON was laid out: SHA-256 in hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut sorted = serde_json::to_value(self).unwrap_or_default();
        sorted.sort_all_objects();
        format!("{:x}", Sha256::digest(sorted.to_string()))
    }
}

/// Why a body is no JSON, and where.
pub(crate) fn no_json(body: &[u8], error: &serde_json::Error) -> String {
    let told = error.to_string();
    if body.is_empty() {
        return "must be a JSON object, and is empty".into();
    }
    if told.starts_with("recursion limit exceeded") {
        return format!("must be nested less deep: {told}");
    }
    if error.is_eof() {
        return format!("must be a JSON object, and ends within it, at line {} column {}", error.line(), error.column());
    }
    format!("must be a JSON object, and is no JSON: {told}")
}

/// To JSON Schema `1.0` is an integer, to serde it is none.
fn write_integers(body: &mut Value) {
    for name in ["max_output_tokens", "max_output_bytes", "max_attempts", "seed"] {
        if let Some(number) = body.get_mut(name)
            && number.is_f64()
            && let Some(integer) = number.as_f64().and_then(|number| format!("{number:.0}").parse::<i64>().ok())
        {
            *number = integer.into();
        }
    }
}

/// What no schema of one field can say.
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
    if let Some(metadata) = body.get("metadata") {
        let bytes = metadata.to_string().len();
        if bytes > limits::METADATA_BYTES_MAX {
            let expected = format!("must have at most {} bytes as JSON; it has {bytes}", limits::METADATA_BYTES_MAX);
            errors.push(FieldError::new("/metadata", expected));
        }
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
