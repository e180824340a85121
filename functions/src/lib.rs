//! Every Lambda function of the product, as a library: the binaries in `bin/` host these on AWS, the local stack in process.

mod deadline;
pub mod events;
mod host;
pub mod http;

use std::sync::Arc;

use futures::future::BoxFuture;
use lambda_runtime::{Error, LambdaEvent};
use longhand::App;
use serde_json::Value;

pub use host::host;

/// What a function answers to: HTTP requests, or events.
#[derive(Clone)]
pub enum Function {
    /// Called through API Gateway. The router expects the `lambda_http` request context among the request's extensions.
    Http(axum::Router),
    /// The same, but that its answers leave as they come: API Gateway's response streaming.
    HttpStream(axum::Router),
    /// Called with a payload: an async invoke, a batch of stream records, a schedule.
    Event(EventHandler),
}

/// Handles one invocation. An `Err` is a failed invocation, which the caller's retry policy takes up.
pub type EventHandler = Arc<dyn Fn(LambdaEvent<Value>) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync>;

impl Function {
    /// The routes, of a function that answers HTTP.
    #[must_use]
    pub const fn router(&self) -> Option<&axum::Router> {
        match self {
            Self::Http(router) | Self::HttpStream(router) => Some(router),
            Self::Event(_) => None,
        }
    }
}

/// The function whose binary is called `name`; `None` where there is no such function.
#[must_use]
pub fn function(name: &str, app: App) -> Option<Function> {
    Some(match name {
        "start" => Function::HttpStream(http::start(app)),
        "tail" => Function::HttpStream(http::tail(app)),
        "api" => Function::Http(http::api(app)),
        "stream" => event(app, events::stream::handle),
        "compact" => event(app, events::compact::handle),
        "sweep" => event(app, events::sweep::handle),
        _ => return None,
    })
}

fn event<F, O>(app: App, handle: F) -> Function
where
    F: Fn(App, LambdaEvent<Value>) -> O + Send + Sync + 'static,
    O: Future<Output = Result<Value, Error>> + Send + 'static,
{
    Function::Event(Arc::new(move |event| Box::pin(handle(app.clone(), event))))
}
