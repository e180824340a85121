//! Every Lambda function of the product. One binary hosts each of them on AWS; the local stack runs them in its process.

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

/// A function, by its kind of invocation.
#[derive(Clone)]
pub enum Function {
    /// Answers HTTP requests. The router expects the `lambda_http` request context among the request's extensions.
    Http(axum::Router),
    /// The same, and streams its answers through API Gateway.
    HttpStream(axum::Router),
    /// Handles a payload: an async invoke, a batch of stream records, a schedule.
    Event(EventHandler),
}

/// Handles one invocation. An `Err` is a failed invocation, to which the retry policy of the trigger applies.
pub type EventHandler = Arc<dyn Fn(LambdaEvent<Value>) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync>;

impl Function {
    /// The router of a function that answers HTTP requests.
    #[must_use]
    pub const fn router(&self) -> Option<&axum::Router> {
        match self {
            Self::Http(router) | Self::HttpStream(router) => Some(router),
            Self::Event(_) => None,
        }
    }
}

type Constructor = fn(App) -> Function;

/// Every function, by its `Handler` in the template.
const FUNCTIONS: [(&str, Constructor); 10] = [
    ("start", |app| Function::HttpStream(http::start(app))),
    ("tail", |app| Function::HttpStream(http::tail(app))),
    ("api", |app| Function::Http(http::api(app))),
    ("stream", |app| event("stream", app, events::stream::handle)),
    ("compact", |app| event("compact", app, events::compact::handle)),
    ("settle", |app| event("settle", app, events::settle::handle)),
    ("deliver", |app| event("deliver", app, events::deliver::handle)),
    ("meter", |app| event("meter", app, events::meter::handle)),
    ("sweep", |app| event("sweep", app, events::sweep::handle)),
    ("authorize", |app| event("authorize", app, events::authorize::handle)),
];

/// Every `Handler` that the template may name.
pub fn handlers() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(handler, _)| *handler)
}

/// The function of a `Handler`; `None` if there is none.
#[must_use]
pub fn function(handler: &str, app: App) -> Option<Function> {
    constructor(handler).map(|construct| construct(app))
}

fn constructor(handler: &str) -> Option<Constructor> {
    FUNCTIONS.iter().find(|(name, _)| *name == handler).map(|(_, construct)| *construct)
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
