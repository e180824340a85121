//! Every Lambda function of the product, as a library: the one binary hosts each of them on AWS, the local stack in process.

mod deadline;
pub mod events;
mod host;
pub mod http;
mod invocation;
pub mod logs;

use std::sync::Arc;

use futures::future::BoxFuture;
use lambda_runtime::{Error, LambdaEvent};
use longhand::App;
use serde_json::Value;
use tracing::Instrument;

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

type Maker = fn(App) -> Function;

/// Every function, under the `Handler` that the template gives it.
const FUNCTIONS: [(&str, Maker); 7] = [
    ("start", |app| Function::HttpStream(http::start(app))),
    ("tail", |app| Function::HttpStream(http::tail(app))),
    ("api", |app| Function::Http(http::api(app))),
    ("stream", |app| event("stream", app, events::stream::handle)),
    ("compact", |app| event("compact", app, events::compact::handle)),
    ("sweep", |app| event("sweep", app, events::sweep::handle)),
    ("authorize", |app| event("authorize", app, events::authorize::handle)),
];

/// What the template's `Handler` may be.
pub fn handlers() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(handler, _)| *handler)
}

/// The function of that `Handler`; `None` where there is no such function.
#[must_use]
pub fn function(handler: &str, app: App) -> Option<Function> {
    maker(handler).map(|make| make(app))
}

fn maker(handler: &str) -> Option<Maker> {
    FUNCTIONS.iter().find(|(name, _)| *name == handler).map(|(_, make)| *make)
}

fn event<F, O>(name: &'static str, app: App, handle: F) -> Function
where
    F: Fn(App, LambdaEvent<Value>) -> O + Send + Sync + 'static,
    O: Future<Output = Result<Value, Error>> + Send + 'static,
{
    Function::Event(Arc::new(move |event: LambdaEvent<Value>| {
        let span = invocation::span(name, Some(&event.context), None);
        Box::pin(handle(app.clone(), event).instrument(span))
    }))
}
