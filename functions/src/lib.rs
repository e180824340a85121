//! Every Lambda function of the product, as a library: the binaries in `bin/` host these on AWS, the local stack in process.

use std::sync::Arc;

use futures::future::BoxFuture;
use lambda_runtime::{Error, LambdaEvent};
use longhand::App;
use serde_json::Value;

/// What a function answers to: HTTP requests, or events.
#[derive(Clone)]
pub enum Function {
    /// Called through API Gateway. The router expects the `lambda_http` request context among the request's extensions.
    Http(axum::Router),
    /// Called with a payload: an async invoke, a batch of stream records, a schedule.
    Event(EventHandler),
}

/// Handles one invocation. An `Err` is a failed invocation, which the caller's retry policy takes up.
pub type EventHandler = Arc<dyn Fn(LambdaEvent<Value>) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync>;

/// The function whose binary is called `name`; `None` where there is no such function.
#[must_use]
pub fn function(name: &str, app: App) -> Option<Function> {
    let _ = (name, app);
    None
}
