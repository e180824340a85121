//! Hosts one function on the Lambda runtime.

use axum::Router;
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

/// Removes `content-length` from streamed answers, which are chunked: Lambda renames the field
/// (`x-amzn-remapped-content-length`), and cargo-lambda's `watch` breaks the connection because of it
/// (<https://github.com/cargo-lambda/cargo-lambda/issues/862>).
fn streamed(router: Router) -> MapResponse<Router, fn(Response) -> Response> {
    ServiceBuilder::new().map_response(without_length as fn(Response) -> Response).service(router)
}

fn without_length(mut response: Response) -> Response {
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

fn unknown(handler: &str) -> String {
    let expected = handlers().collect::<Vec<_>>().join(", ");
    format!("_HANDLER, the function's Handler in the template, must be one of {expected}; not {handler:?}")
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
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

    #[test]
    fn unknown_handler_error_lists_the_handlers() {
        let message = unknown("bootstrap");
        assert!(message.contains("must be one of start, ") && message.ends_with("not \"bootstrap\""), "{message}");
    }
}
