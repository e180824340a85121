//! A fleet's server: the whole API in one process, over the services of AWS.
//!
//! Routes, authorizers and gateway responses are those of `template.yaml`; the functions of the API are those that Lambda runs, with the
//! environment of the process in place of one of their own.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use axum::{body::Body, http::header::CONTENT_TYPE, middleware::map_response, response::Response};
use futures::StreamExt;
use longhand::{App, Clock};
use longhand_functions::function;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access,
    gateway::{self, Authorizer, Callers},
    lambda::{Host, Hosted},
    server,
    template::{TEMPLATE, Template},
};

/// The API's stage in the context of requests.
const STAGE: &str = "fleet";
/// How long requests may take when the server stops: longer than a long poll. Live responses end at once, between two events.
const STOP_GRACE: Duration = Duration::from_secs(22);

/// Serves the API on `listener` until `stopping` is cancelled, and returns when the running requests have ended: live responses at once, between
/// two events, so that their readers go on at another server; others within 22 seconds. Writers of attached starts hand over, if `stopping` is
/// that of the app's [`Parts`](longhand::app::Parts) too.
///
/// # Errors
/// The settings name no CORS origin that the template takes.
pub async fn serve(app: &App, clock: Clock, listener: TcpListener, stopping: &CancellationToken) -> Result<()> {
    let origin = app.config().cors_origin.as_deref();
    let parameters: BTreeMap<&str, &str> = origin.map(|origin| ("CorsOrigin", origin)).into_iter().collect();
    let Template { functions, api, .. } = Template::read_with(TEMPLATE, &parameters)?;
    let mut hosted = Vec::new();
    // What answers requests. The functions of events stay on Lambda, or are the workers'.
    for definition in functions.into_iter().filter(|one| !one.routes.is_empty() || one.handler == "authorize") {
        let function =
            function(&definition.handler, app.clone()).with_context(|| format!("no function {}", definition.handler))?;
        hosted.push(Hosted { definition, function });
    }
    let host = Host::new(hosted);
    let _stop = host.stop_on_drop();
    let mut authorizers = BTreeMap::new();
    for (name, authorizer) in &api.authorizers {
        authorizers.insert(name.clone(), Authorizer::new(&host, authorizer.clone(), clock.clone())?);
    }
    let router = gateway::router(&host, STAGE, Callers::Authorized(authorizers), &api, clock)?;
    let ends = stopping.clone();
    let router = router.layer(map_response(move |response: Response| std::future::ready(end_live(response, ends.clone()))));
    let router = api.cors_origin.as_deref().map(access::cors).into_iter().fold(router, axum::Router::layer);
    let tasks = TaskTracker::new();
    server::serve_with_grace(listener, router, STOP_GRACE, stopping, &tasks);
    stopping.cancelled().await;
    tasks.close();
    tasks.wait().await;
    host.shutdown(STOP_GRACE).await;
    Ok(())
}

/// Ends a response of server-sent events when `stopping` is cancelled. Each part of its body is whole events.
fn end_live(response: Response, stopping: CancellationToken) -> Response {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.starts_with("text/event-stream")) {
        return response;
    }
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(stopping.cancelled_owned())))
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, response::IntoResponse};
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn live_response_ends_when_the_server_stops_and_another_does_not() {
        let endless = || Body::from_stream(stream::iter([Ok::<_, std::io::Error>("data: 1\n\n")]).chain(stream::pending()));
        let stopping = CancellationToken::new();
        let live = end_live(([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], endless()).into_response(), stopping.clone());
        let reads = tokio::spawn(to_bytes(live.into_body(), 100));
        tokio::task::yield_now().await;
        assert!(!reads.is_finished());
        stopping.cancel();
        assert_eq!(reads.await.unwrap().unwrap(), "data: 1\n\n");
        let plain = end_live(([(CONTENT_TYPE, "application/json")], "{}").into_response(), stopping);
        assert_eq!(to_bytes(plain.into_body(), 100).await.unwrap(), "{}");
    }
}
