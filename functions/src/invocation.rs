//! The span of an invocation, and the id of the request that it answers.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use lambda_http::RequestExt as _;
use lambda_http::request::RequestContext;
use lambda_runtime::Context;
use tracing::{Instrument, Span};

tokio::task_local! {
    static REQUEST_ID: Option<String>;
}

/// The span of an invocation. Its level passes every filter, so that every line has its fields.
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

/// Answers a request within its span, with [`request_id`] set.
pub async fn of_request(function: &'static str, request: Request, next: Next) -> Response {
    let id = match request.extensions().get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV1(context)) => context.request_id.clone(),
        _ => None,
    };
    let span = span(function, request.lambda_context_ref(), id.as_deref());
    REQUEST_ID.scope(id, next.run(request)).instrument(span).await
}

/// API Gateway's id of the request that this task answers. `None` outside a request, and in the body of an answer.
pub fn request_id() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok().flatten()
}
