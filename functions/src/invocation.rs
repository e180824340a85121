//! The span around an invocation: which function, and the ids under which AWS and the caller know it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use lambda_http::RequestExt as _;
use lambda_runtime::Context;
use tracing::{Instrument, Span};

use crate::http::request_id;

/// All levels let it pass, so that no line goes without its fields.
pub fn span(function: &'static str, context: Option<&Context>, request_id: Option<&str>) -> Span {
    tracing::error_span!(
        "invocation",
        otel.name = format!("invoke {function}"),
        otel.kind = "server",
        faas.name = function,
        faas.invocation_id = context.map(|context| context.request_id.as_str()),
        xray_trace_id = context.and_then(|context| context.xray_trace_id.as_deref()),
        request_id,
    )
}

/// The same, of a request.
pub async fn of_request(function: &'static str, request: Request, next: Next) -> Response {
    let span = span(function, request.lambda_context_ref(), request_id(&request).as_deref());
    next.run(request).instrument(span).await
}
