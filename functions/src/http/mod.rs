//! Who may call what: every route of the product on one screen.

mod caller;
mod cors;
mod door;
mod durable;
mod events;
mod generations;
mod problem;
mod responses;

use axum::Router;
use axum::middleware::{from_fn, map_response, map_response_with_state};
use axum::routing::{delete, get, post};
use http::HeaderValue;
use longhand::App;

use crate::invocation;

pub(crate) use caller::request_id;

/// The routes of `start`.
pub fn start(app: App) -> Router {
    let routes = Router::new().route("/v1/generations", post(generations::start)).route("/v1/responses", post(responses::create));
    finish("start", routes, app)
}

/// The routes of `tail`: what is followed live.
pub fn tail(app: App) -> Router {
    let routes = Router::new()
        .route("/v1/generations/{id}/events", get(events::events))
        .route("/v1/stream/generations/{id}", get(durable::read).head(durable::head))
        .route("/v1/responses/{id}", get(responses::retrieve));
    finish("tail", routes, app).layer(map_response(durable::secure))
}

/// The routes of `api`: what is answered at once.
pub fn api(app: App) -> Router {
    let routes = Router::new()
        .route("/v1/generations", get(generations::list))
        .route("/v1/generations/{id}", get(generations::get))
        .route("/v1/generations/{id}/progress", get(generations::progress))
        .route("/v1/generations/{id}/cancel", post(generations::cancel))
        .route("/v1/generations/{id}/output", get(generations::output))
        .route("/v1/generations/{id}/tokens", post(generations::create_token))
        .route("/v1/responses/{id}", delete(responses::delete))
        .route("/v1/responses/{id}/cancel", post(responses::cancel))
        .route("/v1/responses/{id}/input_items", get(responses::input_items));
    finish("api", routes, app)
}

fn finish(function: &'static str, routes: Router<App>, app: App) -> Router {
    let origin = app.config().cors_origin.as_deref().and_then(|origin| HeaderValue::from_str(origin).ok());
    let routes = routes
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(from_fn(door::guard))
        .layer(from_fn(problem::render))
        .layer(from_fn(move |request, next| invocation::of_request(function, request, next)))
        .with_state(app);
    match origin {
        Some(origin) => routes.layer(map_response_with_state(origin, cors::share)),
        None => routes,
    }
}
