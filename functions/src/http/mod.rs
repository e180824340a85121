//! The HTTP API: routers made from the table of routes, and the layers that every request passes.

mod acceptance;
mod access;
mod args;
mod attached;
mod audit;
mod batches;
mod caller;
mod chat_completions;
mod console;
mod cors;
mod durable;
mod entities;
mod events;
mod generations;
mod health;
mod importers;
mod imports;
mod models;
mod notifications;
mod openai_error;
mod pipelines;
mod problem;
mod request_size;
mod responses;
mod revisions;
mod route;
mod routes;
mod runs;
mod sse;
mod statistics;
mod subjects;
mod uploads;
mod webhooks;
mod whole;

use std::collections::BTreeMap;

use axum::middleware::{from_fn, map_request, map_response, map_response_with_state};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Router};
use http::HeaderValue;
use longhand::App;

use crate::invocation;

pub use route::{Envelope, Route};
pub use routes::ROUTES;

/// The router of `start`.
pub fn start(app: App) -> Router {
    router("start", app)
}

/// The router of `tail`.
pub fn tail(app: App) -> Router {
    let routes = router("tail", app).route("/console/", get(console::redirect));
    routes.layer(map_response(durable::add_security_headers))
}

/// The router of `api`.
pub fn api(app: App) -> Router {
    router("api", app)
}

/// The routes of one function, with the layers that every request passes, the last one first.
fn router(function: &'static str, app: App) -> Router {
    let origin = app.config().cors_origin.as_deref().and_then(|origin| HeaderValue::from_str(origin).ok());
    let mut paths: BTreeMap<&str, MethodRouter<App>> = BTreeMap::new();
    for route in ROUTES.iter().filter(|route| route.function == function) {
        let path = paths.remove(route.path).unwrap_or_default();
        paths.insert(route.path, route.attach_to(path));
    }
    let routes = paths
        .into_iter()
        .fold(Router::new(), |routes, (path, methods)| routes.route(path, methods))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(from_fn(request_size::limit))
        .layer(from_fn(problem::finish))
        .layer(from_fn(move |request, next| invocation::of_request(function, request, next)))
        .layer(map_request(routes::identify))
        .layer(Extension(app.clone()))
        .with_state(app);
    match origin {
        Some(origin) => routes.layer(map_response_with_state(origin, cors::allow_origin)),
        None => routes,
    }
}
