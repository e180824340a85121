//! A proxy in front of the stack's DynamoDB: it may hold a call, or answer in place of the database.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use futures::future::BoxFuture;
use longhand::app::Parts;
use longhand::{App, Clock};
use serde_json::Value;

use crate::Harness;

/// A call to DynamoDB.
#[derive(Debug, Clone)]
pub struct DynamoCall {
    /// `PutItem`.
    pub operation: String,
    /// The request.
    pub body: Value,
}

/// Called for each call before it is passed on. `Some` is the answer, and the call is not passed on.
pub type Decide = Arc<dyn Fn(DynamoCall) -> BoxFuture<'static, Option<Value>> + Send + Sync>;

/// An app with the environment of `function`, whose calls to DynamoDB pass `decide`.
pub async fn app_behind(harness: &Harness, function: &str, clock: Clock, decide: Decide) -> App {
    let pass = move |request: Request, next: Next| {
        let decide = Arc::clone(&decide);
        async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.expect("a body");
            let target = head.headers["x-amz-target"].to_str().expect("an operation");
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let call = DynamoCall { operation, body: serde_json::from_slice(&body).expect("a request in JSON") };
            match decide(call).await {
                Some(answer) => Response::new(Body::from(answer.to_string())),
                None => next.run(Request::from_parts(head, Body::from(body))).await,
            }
        }
    };
    app_through(harness, function, clock, |services| services.layer(middleware::from_fn(pass))).await
}

/// An app with the environment of `function`, whose calls to DynamoDB pass a layer that `wrap` puts around it.
pub async fn app_through(harness: &Harness, function: &str, clock: Clock, wrap: impl FnOnce(Router) -> Router) -> App {
    let services = harness.stack.services();
    let wrapped = services.with(&harness.stack.endpoints().dynamodb, wrap(services.by_host()));
    let parts = Parts { http_client: Some(wrapped.http_client()), ..Parts::default() };
    App::from_parts(harness.config(function), clock, parts).await
}
