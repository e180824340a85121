//! Hosts one function on the Lambda runtime.

use lambda_runtime::{Error, service_fn};
use longhand::{App, Clock, Config, config};
use tracing_subscriber::EnvFilter;

use crate::{Function, function};

/// Runs the function whose binary is called `name`, for as long as Lambda wants it.
///
/// # Errors
/// A setting is missing or wrong; or the runtime API is gone.
pub async fn host(name: &str) -> Result<(), Error> {
    let filter = EnvFilter::try_new(config::log_filter()).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false).with_env_filter(filter).init();
    let app = App::new(Config::from_env()?, Clock::system()).await?;
    match function(name, app) {
        Some(Function::HttpStream(router)) if config::response_streaming() => {
            lambda_http::run_with_streaming_response(router).await
        }
        Some(Function::Http(router) | Function::HttpStream(router)) => lambda_http::run(router).await,
        Some(Function::Event(handler)) => lambda_runtime::run(service_fn(move |event| handler(event))).await,
        None => Err(format!("there is no function {name:?}").into()),
    }
}
