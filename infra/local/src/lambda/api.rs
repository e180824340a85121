//! Lambda's Invoke API over HTTP, for the functions' own SDK clients.

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use super::{Invocation, Lambda};

/// AWS's limit for a synchronous payload.
const SYNC_BYTES_MAX: usize = 6 * 1024 * 1024;
/// AWS's limit for an asynchronous payload.
const ASYNC_BYTES_MAX: usize = 1024 * 1024;

/// `POST /2015-03-31/functions/{name}/invocations`.
pub fn router(lambda: Lambda) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .layer(DefaultBodyLimit::max(SYNC_BYTES_MAX))
        .with_state(lambda)
}

async fn invoke(State(lambda): State<Lambda>, Path(name): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(hosted) = lambda.find(&name) else {
        return error_response(StatusCode::NOT_FOUND, "ResourceNotFoundException", &format!("Function not found: {name}"));
    };
    let payload = if body.is_empty() { Ok(json!({})) } else { serde_json::from_slice::<Value>(&body) };
    let Ok(payload) = payload else {
        return error_response(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            "Could not parse request body into json",
        );
    };
    match headers.get("x-amz-invocation-type").and_then(|kind| kind.to_str().ok()).unwrap_or("RequestResponse") {
        "DryRun" => StatusCode::NO_CONTENT.into_response(),
        "Event" if body.len() > ASYNC_BYTES_MAX => {
            let message =
                format!("{} byte payload is too large for the Event invocation type (limit {ASYNC_BYTES_MAX} bytes)", body.len());
            error_response(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message)
        }
        "Event" => match lambda.send(hosted, payload) {
            Ok(request_id) => (StatusCode::ACCEPTED, [("x-amzn-requestid", request_id)]).into_response(),
            Err(error) => error_response(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", &format!("{error:#}")),
        },
        "RequestResponse" => {
            let (running, hosted) = (lambda.clone(), hosted.clone());
            // In a task, because a function continues when its caller disconnects.
            match lambda.spawn(async move { running.invoke(&hosted, payload).await }).await {
                Ok(Some(invocation)) => render(invocation),
                _ => error_response(StatusCode::SERVICE_UNAVAILABLE, "ServiceException", "The local stack is stopping"),
            }
        }
        other => error_response(
            StatusCode::BAD_REQUEST,
            "InvalidParameterValueException",
            &format!("Unknown invocation type: {other}"),
        ),
    }
}

fn render(invocation: Invocation) -> Response {
    let headers = [("x-amzn-requestid", invocation.request_id), ("x-amz-executed-version", "$LATEST".to_owned())];
    match invocation.error {
        None => (headers, axum::Json(invocation.response)).into_response(),
        Some(error) => (headers, [("x-amz-function-error", "Unhandled")], axum::Json(error)).into_response(),
    }
}

fn error_response(status: StatusCode, kind: &'static str, message: &str) -> Response {
    let body = json!({ "Type": if status.is_server_error() { "Service" } else { "User" }, "Message": message });
    (status, [("x-amzn-errortype", kind)], axum::Json(body)).into_response()
}
