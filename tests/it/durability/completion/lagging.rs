//! Reads that lag behind the writes, as DynamoDB's do unless they are asked to be consistent. The embedded one's never lag.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Router, routing::post};
use longhand::{App, Clock, Config};
use longhand_local::{Options, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, compact_ended, environment};
use reqwest::Client;
use serde_json::{Value, json};

use super::{by_hand, dynamodb};

/// Passes a call on to the DynamoDB at `State`. What a query finds last was stored a moment ago: a view that lags does not show it.
async fn lagging(State((client, endpoint)): State<(Client, String)>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = client.post(endpoint).headers(headers.clone()).body(body.clone()).send().await.unwrap();
    let (status, told) = (answer.status(), answer.bytes().await.unwrap());
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let mut told: Value = serde_json::from_slice(&told).unwrap();
    if headers["x-amz-target"].to_str().unwrap().ends_with(".Query") && asked["ConsistentRead"] != true {
        told["Items"].as_array_mut().unwrap().pop();
    }
    Response::builder().status(status).body(Body::from(told.to_string())).unwrap()
}

/// A function whose reads of the stack's tables lag.
async fn app(harness: &Harness) -> App {
    let table = (Client::new(), harness.stack.endpoints().dynamodb.clone());
    let router = Router::new().route("/", post(lagging)).with_state(table);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut environment = harness.stack.environment("api");
    environment.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    App::new(Config::from_vars(&|name| environment.get(name).cloned()).unwrap(), Clock::system()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_a_moment_ago_is_deleted_too() {
    let provider = play(Script::new(["hola"])).unwrap();
    let options = Options { env: environment(provider.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["Ended", "EveryMinute"], options).await;
    let id = harness.start_generation(json!({ "delete_after": true })).await;
    let (straight, key) = by_hand(&harness, &id).await;
    let app = app(&harness).await;
    compact_ended(&app, &key, "hand").await;
    assert_eq!(straight.inspect(&key).await.unwrap().slots, [], "the buffer");
    app.purge(&key).await.unwrap();
    let environment = harness.stack.environment("api");
    for table in ["LONGHAND_BUFFER_TABLE", "LONGHAND_RECORDS_TABLE"] {
        let rows = dynamodb(&harness).scan().table_name(&environment[table]).send().await.unwrap();
        assert_eq!(rows.items(), [], "{table}");
    }
    harness.finish().await;
}
