//! Errors as HTTP answers: `application/problem+json` (RFC 9457), or the form that the route's row names.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, RETRY_AFTER};
use http::{HeaderName, Method, StatusCode, Uri};
use longhand::error::{InvalidInput, Issue};
use longhand::{Error, FieldError};
use serde_json::{Value, json};

use super::openai_error;
use super::route::{Envelope, Route};
use crate::invocation::request_id;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    /// The form of the errors of the request that this task answers.
    static ENVELOPE: Envelope;
}

/// An error as the answer to a request, in the form of the request's route.
#[derive(Debug)]
pub struct Problem(pub Error);

/// The cause of a 5xx answer, among the answer's extensions.
#[derive(Clone)]
struct Cause(Arc<Error>);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let mut response = match ENVELOPE.try_with(|envelope| *envelope).unwrap_or_default() {
            Envelope::Problem => of_error(&error),
            Envelope::OpenAi => openai_error::render(&error),
        };
        if let Some(after) = error.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, after.as_secs().into());
        }
        if let Error::VersionChanged(_, current) | Error::EntityChanged(_, current) = &error {
            response.headers_mut().extend(HeaderValue::from_str(&format!("\"{current}\"")).ok().map(|current| (ETAG, current)));
        }
        if response.status().is_server_error() {
            response.extensions_mut().insert(Cause(Arc::new(error)));
        }
        response
    }
}

/// Finishes every answer: logs the cause of a 5xx answer, whose body does not have it, and adds the request's id, which
/// `OpenAI`'s clients show their users.
pub async fn finish(request: Request, next: Next) -> Response {
    let envelope = request.extensions().get::<&'static Route>().map(|route| route.envelope).unwrap_or_default();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = ENVELOPE.scope(envelope, next.run(request)).await;
    if let Some(Cause(error)) = response.extensions().get() {
        tracing::error!(%method, path, %error, "A request failed.");
    }
    if let Some(id) = request_id().and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The answer where no route has the path.
pub async fn no_route(uri: Uri) -> Response {
    render(404, &json!("not_found"), &format!("there is nothing at {}", uri.path()), &[])
}

/// The answer where the path's routes have other methods.
pub async fn no_method(method: Method, uri: Uri) -> Response {
    render(405, &json!("method_not_allowed"), &format!("{} does not take {method}", uri.path()), &[])
}

fn of_error(error: &Error) -> Response {
    let errors: &[FieldError] = match error {
        Error::InvalidRequest(errors) | Error::InvalidPipeline(errors) | Error::InvalidImporter(errors) => errors,
        _ => &[],
    };
    let code = serde_json::to_value(error.code()).unwrap_or(Value::Null);
    if let Error::InvalidInput(wrong) = error {
        return of_input(&code, &error.public_detail(), wrong);
    }
    if let Error::InvalidAnswer(issues) = error {
        return of_answer(&code, &error.public_detail(), issues);
    }
    render(error.code().status(), &code, &error.public_detail(), errors)
}

/// What is wrong with an answer has its place as people read it, and the message in the field's words: `errors` has both as `path` and
/// `message` too, as the field's validator has them.
fn of_answer(code: &Value, detail: &str, issues: &[Issue]) -> Response {
    let errors = issues
        .iter()
        .map(|issue| json!({ "pointer": issue.path, "detail": issue.message, "path": issue.path, "message": issue.message }));
    render_with(422, code, detail, &errors.collect(), json!({}))
}

/// The errors of an input have their places as people read them too, and what was expected; so has the problem.
fn of_input(code: &Value, detail: &str, wrong: &InvalidInput) -> Response {
    let errors = wrong.errors.iter().map(|error| {
        json!({
            "pointer": format!("/input{}", error.pointer),
            "detail": error.message,
            "path": error.path,
            "expected": error.expected,
        })
    });
    let extra = json!({ "expected": wrong.expected, "more_errors": wrong.more });
    render_with(422, code, detail, &errors.collect(), extra)
}

fn render(status: u16, code: &Value, detail: &str, errors: &[FieldError]) -> Response {
    render_with(status, code, detail, &json!(errors), json!({}))
}

/// A problem with members beside those of every problem.
fn render_with(status: u16, code: &Value, detail: &str, errors: &Value, more: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
        "errors": errors,
        "request_id": request_id(),
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
