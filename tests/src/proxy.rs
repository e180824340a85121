//! A proxy in front of the stack's DynamoDB: it may hold a call, or answer in place of the database.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use futures::future::BoxFuture;
use longhand::{App, Clock, Config};
use reqwest::Client;
use serde_json::Value;
use tokio::net::TcpListener;

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
    let (client, endpoint) = (Client::new(), harness.stack.endpoints().dynamodb.clone());
    let pass = move |headers: HeaderMap, body: Bytes| {
        let (client, endpoint, decide) = (client.clone(), endpoint.clone(), Arc::clone(&decide));
        async move {
            let target = headers["x-amz-target"].to_str().expect("an operation");
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let call = DynamoCall { operation, body: serde_json::from_slice(&body).expect("a request in JSON") };
            if let Some(answer) = decide(call).await {
                return Response::new(Body::from(answer.to_string()));
            }
            let answer = client.post(endpoint).headers(headers).body(body).send().await.expect("the stack answers");
            let status = answer.status();
            Response::builder().status(status).body(Body::from(answer.bytes().await.expect("a body"))).expect("a response")
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut environment = harness.stack.environment(function);
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    environment.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), url);
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(pass))).await });
    App::new(Config::from_vars(&|name| environment.get(name).cloned()).expect("a function's environment"), clock).await
}
