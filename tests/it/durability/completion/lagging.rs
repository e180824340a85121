//! Reads that lag behind the writes, as DynamoDB's do unless they are asked to be consistent. The embedded one's never lag.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use longhand::{App, Clock};
use longhand_local::{Options, Script};
use longhand_tests::proxy::app_through;
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, compact_ended, environment};
use serde_json::{Value, json};

use super::by_hand;

/// Passes a call on to DynamoDB. What a query finds last was stored a moment ago: a view that lags does not show it.
async fn lagging(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let lags = head.headers["x-amz-target"].to_str().unwrap().ends_with(".Query") && asked["ConsistentRead"] != true;
    let answer = next.run(Request::from_parts(head, Body::from(body))).await;
    let status = answer.status();
    let mut told: Value = serde_json::from_slice(&to_bytes(answer.into_body(), usize::MAX).await.unwrap()).unwrap();
    if lags {
        told["Items"].as_array_mut().unwrap().pop();
    }
    Response::builder().status(status).body(Body::from(told.to_string())).unwrap()
}

/// A function whose reads of the stack's tables lag.
async fn app(harness: &Harness) -> App {
    app_through(harness, "api", Clock::system(), |services| services.layer(middleware::from_fn(lagging))).await
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
        let rows = harness.clients().await.dynamodb.scan().table_name(&environment[table]).send().await.unwrap();
        assert_eq!(rows.items(), [], "{table}");
    }
    harness.finish().await;
}
