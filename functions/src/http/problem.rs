//! Errors as `application/problem+json` (RFC 9457), in the one place that knows HTTP's words for them.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode, Uri};
use longhand::{Error, FieldError};
use serde_json::{Value, json};

use super::caller::request_id;

/// An error on its way to the caller.
pub struct Failure(pub Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

#[derive(Clone)]
struct Told(Arc<Error>);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Told(Arc::new(self.0)));
        response
    }
}

/// Turns a [`Failure`] into its answer, with the request's id, and logs the cause where the caller is not told it.
pub async fn render(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let Some(Told(error)) = response.extensions().get::<Told>() else { return response };
    let code = error.code();
    if code.status() >= 500 {
        tracing::error!(request_id = id, %method, path, %error, "A request could not be done.");
    }
    let errors: &[FieldError] = if let Error::InvalidRequest(errors) = error.as_ref() { errors } else { &[] };
    let code = serde_json::to_value(code).unwrap_or(Value::Null);
    let mut response = answer(error.code().status(), &code, &error.public_detail(), errors, id.as_deref());
    tell_when_to_retry(&mut response, error);
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
