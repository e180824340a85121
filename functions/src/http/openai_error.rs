//! Errors in the form of the `OpenAI` API, with the headers that its clients read.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode};
use longhand::log::event::End;
use longhand::{Error, ErrorCode, FieldError};
use serde_json::{Value, json};

/// The clients repeat a request that was answered 408, 409, 429 or 5xx, unless this header is `false`.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The answer for an error.
pub fn render(error: &Error) -> Response {
    let code = error.code();
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (message, param, word) = describe(error);
    let body = json!({ "error": { "message": message, "type": kind(code), "param": param, "code": word } });
    let retry = if code.is_retryable() { "true" } else { "false" };
    (status, [(SHOULD_RETRY, retry)], Json(body)).into_response()
}

/// The answer for a generation that failed before it had any output: what the provider answered, under the status that its own API
/// would have. A key that the provider refuses is this deployment's, not the caller's. The request has been repeated already, as
/// often as that may help.
pub fn of_provider(end: &End) -> Response {
    let reason = end.reason.as_deref().unwrap_or_default();
    let message = end.message.clone().unwrap_or_default();
    let is_context = ["context length", "context_length", "context window"].iter().any(|words| message.contains(words));
    let (status, kind, code) = match (reason, end.provider_status) {
        ("rate_limited", _) | (_, Some(429)) => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded"),
        (_, Some(401 | 403)) => (StatusCode::BAD_GATEWAY, "server_error", "provider_key_refused"),
        (_, Some(404)) => (StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found"),
        ("provider_rejected", _) if is_context => (StatusCode::BAD_REQUEST, "invalid_request_error", "context_length_exceeded"),
        ("provider_rejected", _) => (StatusCode::BAD_REQUEST, "invalid_request_error", reason),
        ("provider_unavailable", _) => (StatusCode::SERVICE_UNAVAILABLE, "server_error", reason),
        ("first_byte_timeout" | "timeout" | "deadline", _) => (StatusCode::GATEWAY_TIMEOUT, "server_error", reason),
        _ => (StatusCode::BAD_GATEWAY, "server_error", reason),
    };
    let body = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
    (status, [(SHOULD_RETRY, "false")], Json(body)).into_response()
}

/// The message, the parameter at fault, and the code.
fn describe(error: &Error) -> (String, Value, Value) {
    match error {
        Error::InvalidRequest(errors) => {
            let sentences: Vec<String> = errors.iter().map(sentence).collect();
            let param = errors.first().map(parameter).filter(|param| !param.is_empty());
            (sentences.join(" "), param.into(), Value::Null)
        }
        Error::Refused { message, param, code } => (message.clone(), (*param).into(), (*code).into()),
        Error::NotFound(id) => {
            let id = id.strip_prefix("gen_").map_or_else(|| id.clone(), |ulid| format!("resp_{ulid}"));
            (format!("Response with id '{id}' not found."), Value::Null, Value::Null)
        }
        Error::ModelNotFound(id) => {
            let message = format!("The model '{id}' is not listed; `GET /v1/models` lists those that are.");
            (message, "model".into(), "model_not_found".into())
        }
        Error::TooManyRunning(_) => (error.public_detail(), Value::Null, "rate_limit_exceeded".into()),
        Error::Unauthorized(why) => (format!("{why}."), Value::Null, "invalid_api_key".into()),
        error => (error.public_detail(), Value::Null, serde_json::to_value(error.code()).unwrap_or_default()),
    }
}

/// `/input/0/role` as `input[0].role`.
fn parameter(error: &FieldError) -> String {
    let segments = error.pointer.split('/').filter(|segment| !segment.is_empty());
    let parts = segments.enumerate().map(|(place, segment)| match segment.parse::<usize>() {
        Ok(index) => format!("[{index}]"),
        Err(_) if place == 0 => segment.to_owned(),
        Err(_) => format!(".{segment}"),
    });
    parts.collect()
}

fn sentence(error: &FieldError) -> String {
    match parameter(error) {
        name if name.is_empty() => format!("The body {}.", error.detail),
        name => format!("Invalid '{name}': {}.", error.detail),
    }
}

const fn kind(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidRequest
        | ErrorCode::RequestTooLarge
        | ErrorCode::UriTooLong
        | ErrorCode::HeadersTooLarge
        | ErrorCode::NotFound
        | ErrorCode::VersionChanged
        | ErrorCode::TextTooLarge
        | ErrorCode::Forbidden
        | ErrorCode::IdempotencyConflict
        | ErrorCode::NotEnded
        | ErrorCode::InvalidPipeline
        | ErrorCode::InvalidImporter
        | ErrorCode::InvalidAnswer
        | ErrorCode::NotCompleted
        | ErrorCode::InvalidOutput
        | ErrorCode::AlreadyAccepted
        | ErrorCode::ImportsOff
        | ErrorCode::NotReverted
        | ErrorCode::EntityDecided
        | ErrorCode::ValidationError
        | ErrorCode::EndpointDisabled
        | ErrorCode::AlreadyEnded
        | ErrorCode::LogGone => "invalid_request_error",
        ErrorCode::TooManyRunning => "rate_limit_error",
        ErrorCode::QuotaGenerations | ErrorCode::QuotaOutputBytes | ErrorCode::QuotaSpend => "insufficient_quota",
        ErrorCode::Unauthorized => "authentication_error",
        ErrorCode::TooManyAttached
        | ErrorCode::Maintenance
        | ErrorCode::Internal
        | ErrorCode::Contended
        | ErrorCode::Unavailable => "server_error",
    }
}
