//! Hosts one function on the Lambda runtime.

use lambda_runtime::{Error, service_fn};
use longhand::{App, Clock, Config, config};

use crate::{Function, handlers, logs, maker};

/// Runs the function that `_HANDLER` names, for as long as Lambda wants it.
///
/// # Errors
/// There is no such function; a setting is missing or wrong; or the runtime API is gone.
pub async fn host() -> Result<(), Error> {
    logs::start(&config::log_filter(), config::metrics_namespace());
    let handler = config::handler().unwrap_or_default();
    let make = maker(&handler).ok_or_else(|| unknown(&handler))?;
    match make(App::new(Config::from_env()?, Clock::system()).await) {
        Function::HttpStream(router) if config::response_streaming() => lambda_http::run_with_streaming_response(router).await,
        Function::Http(router) | Function::HttpStream(router) => lambda_http::run(router).await,
        Function::Event(handler) => lambda_runtime::run(service_fn(move |event| handler(event))).await,
    }
}

fn unknown(handler: &str) -> String {
    let expected = handlers().collect::<Vec<_>>().join(", ");
    format!("the function's Handler, which Lambda passes on as _HANDLER, must be one of {expected}; not {handler:?}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unknown_handler_is_told_what_was_expected() {
        let message = super::unknown("bootstrap");
        assert!(message.contains("must be one of start, ") && message.ends_with("not \"bootstrap\""), "{message}");
    }
}
