//! Errors in OpenAI's envelope, and the headers that its clients read.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use longhand::{Error, ErrorCode, FieldError};
use serde_json::{Value, json};

use super::super::problem::{Cause, tell_when_to_retry};

/// The clients send 408, 409, 429 and every 5xx again, unless this says otherwise.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An error on its way to the caller.
pub struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.0.code();
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (message, param, word) = told(&self.0);
        let body = json!({ "error": { "message": message, "type": kind(code), "param": param, "code": word } });
        let mut response = (status, Json(body)).into_response();
        let retry = if code.is_retryable() { "true" } else { "false" };
        response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static(retry));
        tell_when_to_retry(&mut response, &self.0);
        if status.is_server_error() {
            response.extensions_mut().insert(Cause(Arc::new(self.0)));
        }
        response
    }
}

/// The message, the parameter at fault, and the word for programs.
fn told(error: &Error) -> (String, Value, Value) {
    match error {
        Error::InvalidRequest(errors) => {
            let said: Vec<String> = errors.iter().map(sentence).collect();
            let param = errors.first().map(parameter).filter(|param| !param.is_empty());
            (said.join(" "), param.into(), Value::Null)
        }
        Error::Refused { message, param, code } => (message.clone(), (*param).into(), (*code).into()),
        Error::NotFound(id) => {
            let id = id.strip_prefix("gen_").map_or_else(|| id.clone(), |ulid| format!("resp_{ulid}"));
            (format!("Response with id '{id}' not found."), Value::Null, Value::Null)
        }
        Error::TooManyRunning(_) => (error.public_detail(), Value::Null, "rate_limit_exceeded".into()),
        Error::Unauthorized(why) => (format!("{why}."), Value::Null, "invalid_api_key".into()),
        error => (error.public_detail(), Value::Null, serde_json::to_value(error.code()).unwrap_or_default()),
    }
}

/// `/input/0/role` as `input[0].role`.
fn parameter(error: &FieldError) -> String {
    let segments = error.pointer.split('/').filter(|segment| !segment.is_empty());
    let told = segments.enumerate().map(|(place, segment)| match segment.parse::<usize>() {
        Ok(index) => format!("[{index}]"),
        Err(_) if place == 0 => segment.to_owned(),
        Err(_) => format!(".{segment}"),
    });
    told.collect()
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
        | ErrorCode::Forbidden
        | ErrorCode::IdempotencyConflict
        | ErrorCode::NotEnded
        | ErrorCode::AlreadyEnded
        | ErrorCode::LogGone => "invalid_request_error",
        ErrorCode::TooManyRunning => "rate_limit_error",
        ErrorCode::QuotaGenerations | ErrorCode::QuotaOutputBytes | ErrorCode::QuotaSpend => "insufficient_quota",
        ErrorCode::Unauthorized => "authentication_error",
        ErrorCode::Internal | ErrorCode::Unavailable => "server_error",
    }
}
