//! Hosts one function on the Lambda runtime.

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use lambda_http::tower::ServiceBuilder;
use lambda_http::tower::util::MapResponse;
use lambda_runtime::{Error, service_fn};
use longhand::{App, Clock, Config, config};

use crate::{Function, constructor, handlers, logs};

/// Runs the function that `_HANDLER` names, until Lambda stops the process.
///
/// # Errors
/// There is no such function; a setting is missing or wrong; or the runtime API does not respond.
pub async fn host() -> Result<(), Error> {
    logs::start(&config::log_filter(), config::metrics_namespace());
    let handler = config::handler().unwrap_or_default();
    let construct = constructor(&handler).ok_or_else(|| unknown(&handler))?;
    match construct(App::new(Config::from_env()?, Clock::system()).await) {
        Function::HttpStream(router) if config::response_streaming() => {
            lambda_http::run_with_streaming_response(streamed(router)).await
        }
        Function::Http(router) | Function::HttpStream(router) => lambda_http::run(router).await,
        Function::Event(handler) => lambda_runtime::run(service_fn(move |event| handler(event))).await,
    }
}

/// Puts answers into the form that Lambda's response streaming takes.
fn streamed(router: Router) -> MapResponse<Router, fn(Response) -> Response> {
    ServiceBuilder::new().map_response(as_stream as fn(Response) -> Response).service(router)
}

/// Removes `content-length`: streamed answers are chunked, Lambda renames the field (`x-amzn-remapped-content-length`), and
/// cargo-lambda's `watch` breaks the connection because of it (<https://github.com/cargo-lambda/cargo-lambda/issues/862>).
///
/// Gives an answer without a body (204, 304, to `HEAD`) one byte. A stream of headers alone has been seen to stay open until the
/// function's time is over (<https://github.com/aws/aws-lambda-nodejs-runtime-interface-client/issues/95>); HTTP drops the byte.
fn as_stream(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    let body = if body.size_hint().exact() == Some(0) { Body::from("\n") } else { body };
    Response::from_parts(head, body)
}

fn unknown(handler: &str) -> String {
    let expected = handlers().collect::<Vec<_>>().join(", ");
    format!("_HANDLER, the function's Handler in the template, must be one of {expected}; not {handler:?}")
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::routing::get;
    use lambda_http::tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn streamed_answer_has_no_length() {
        let router = || Router::new().route("/", get(async || "four"));
        let request = || http::Request::new(Body::empty());
        let plain = router().oneshot(request()).await.unwrap();
        assert_eq!(plain.headers()[CONTENT_LENGTH], "4", "the router's own");
        let response = streamed(router()).oneshot(request()).await.unwrap();
        assert!(!response.headers().contains_key(CONTENT_LENGTH));
        assert_eq!(to_bytes(response.into_body(), 5).await.unwrap(), "four");
    }

    #[tokio::test]
    async fn streamed_answer_is_never_empty() {
        let router = Router::new()
            .route("/", get(async || http::StatusCode::NO_CONTENT))
            .route("/head", axum::routing::head(async || "four"));
        for (method, path, status) in [("GET", "/", 204), ("HEAD", "/head", 200), ("POST", "/", 405)] {
            let request = http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let response = streamed(router.clone()).oneshot(request).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(to_bytes(response.into_body(), 9).await.unwrap(), "\n", "{method} {path}");
        }
    }

    #[test]
    fn unknown_handler_error_lists_the_handlers() {
        let message = unknown("bootstrap");
        assert!(message.contains("must be one of start, ") && message.ends_with("not \"bootstrap\""), "{message}");
    }
}
