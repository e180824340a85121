//! Errors as `application/problem+json` (RFC 9457), in the one place that knows HTTP's words for them.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, Method, StatusCode, Uri};
use longhand::{Error, FieldError};
use serde_json::{Value, json};

use super::caller::request_id;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An error on its way to the caller.
pub struct Failure(pub Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

#[derive(Clone)]
struct Told(Arc<Error>);

/// On an answer that does not tell it: the cause, for the log.
#[derive(Clone)]
pub struct Cause(pub Arc<Error>);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Told(Arc::new(self.0)));
        response
    }
}

/// What is done to every answer: a [`Failure`] is turned into its own, a cause that the caller is not told is logged, and the
/// request's id put on it, which `OpenAI`'s clients show their users.
pub async fn render(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if let Some(Told(error)) = response.extensions().get::<Told>().cloned() {
        response = of_error(&error, id.as_deref());
    }
    if let Some(Cause(error)) = response.extensions().get::<Cause>() {
        tracing::error!(%method, path, %error, "A request could not be done.");
    }
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn of_error(error: &Arc<Error>, id: Option<&str>) -> Response {
    let errors: &[FieldError] = if let Error::InvalidRequest(errors) = error.as_ref() { errors } else { &[] };
    let code = serde_json::to_value(error.code()).unwrap_or(Value::Null);
    let mut response = answer(error.code().status(), &code, &error.public_detail(), errors, id);
    tell_when_to_retry(&mut response, error);
    if response.status().is_server_error() {
        response.extensions_mut().insert(Cause(Arc::clone(error)));
    }
    response
}

/// `Retry-After`, where the error says when.
pub fn tell_when_to_retry(response: &mut Response, error: &Error) {
    if let Some(after) = error.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, after.as_secs().into());
    }
}

/// No such path.
pub async fn no_route(request: Request) -> Response {
    let detail = format!("there is nothing at {}", request.uri().path());
    answer(404, &json!("not_found"), &detail, &[], request_id(&request).as_deref())
}

/// The path takes other methods.
pub async fn no_method(method: Method, uri: Uri, request: Request) -> Response {
    let detail = format!("{} does not take {method}", uri.path());
    answer(405, &json!("method_not_allowed"), &detail, &[], request_id(&request).as_deref())
}

fn answer(status: u16, code: &Value, detail: &str, errors: &[FieldError], request_id: Option<&str>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
        "errors": errors,
        "request_id": request_id,
    });
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
