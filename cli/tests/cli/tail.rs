//! `longhand tail`, as a person runs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, extract::Query};
use serde_json::{Value, json};

use crate::arguments::longhand;
use crate::client::{body, frame, serve};

const ID: &str = "gen_01arz3ndektsv4rrffq69g5fav";

fn events() -> Vec<Value> {
    vec![
        json!({ "seq": 0, "type": "created" }),
        json!({ "seq": 1, "type": "in_progress", "attempt": 1 }),
        json!({ "seq": 2, "type": "output_text.delta", "output_index": 0, "delta": "Uno " }),
        json!({ "seq": 3, "type": "output_text.delta", "output_index": 0, "delta": "dos" }),
        json!({ "seq": 4, "type": "completed" }),
    ]
}

/// An API that fails at first, then breaks off in the middle of the log, and then has the rest.
async fn failing_api() -> String {
    let requests = Arc::new(AtomicUsize::new(0));
    let followed = Arc::clone(&requests);
    let live = move |headers: HeaderMap, query: Query<Vec<(String, String)>>| {
        let number = followed.fetch_add(1, Ordering::SeqCst);
        let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<usize>().ok());
        let after = after.or_else(|| query.iter().find(|(name, _)| name == "after")?.1.parse().ok());
        let rest = events().split_off(after.map_or(0, |after| after + 1));
        std::future::ready(match number {
            0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            1 if headers.contains_key("accept") && headers["accept"] == "text/event-stream" => {
                stream(&rest[..3.min(rest.len())], true)
            }
            _ if headers["accept"] == "text/event-stream" => stream(&rest, false),
            1 => page(&rest[..3.min(rest.len())], true),
            _ => page(&rest, false),
        })
    };
    let progress = json!({ "received_chunks": 2, "received_bytes": 7, "chunk_count": 1, "last_seq": 4 });
    let record = json!({
        "id": ID, "object": "generation", "status": "completed", "provider": "p", "model": "m", "created_at": "2026-01-01T00:00:00Z",
        "completed_at": "2026-01-01T00:00:01Z", "compacted_at": "2026-01-01T00:00:02Z", "progress": progress, "metadata": {},
    });
    let view = json!({ "id": ID, "status": "completed", "progress": progress, "attempt": 1 });
    let path = format!("/v1/generations/{ID}");
    let router = Router::new()
        .route(&format!("{path}/events"), get(live))
        .route(&format!("{path}/progress"), get(async || Json(view)))
        .route(&path, get(async || Json(record)));
    serve(router).await
}

fn stream(events: &[Value], breaks: bool) -> Response {
    body(events.iter().map(frame).collect(), breaks).into_response()
}

fn page(events: &[Value], has_more: bool) -> Response {
    let last = events.last().map(|event| event["seq"].clone());
    Json(json!({ "object": "list", "data": events, "status": "running", "has_more": has_more, "last_seq": last })).into_response()
}

async fn tail(arguments: &'static [&'static str]) -> (i32, String, String) {
    let url = failing_api().await;
    let run = move || longhand(&[&["tail", ID, "--url", &url], arguments].concat(), "");
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn followed_text_is_printed_once_over_failures_and_breaks() {
    let (code, stdout, stderr) = tail(&[]).await;
    assert_eq!((code, stdout.as_str()), (0, "Uno dos"), "{stderr}");
    assert!(stderr.starts_with("note: the API gave no reason (503 Service Unavailable); trying again\n"), "{stderr}");
    assert_eq!(stderr.matches("trying again").count(), 2, "one note for each outage: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn polled_text_is_printed_once_over_failures() {
    let (code, stdout, stderr) = tail(&["--poll=0.01"]).await;
    assert_eq!((code, stdout.as_str()), (0, "Uno dos"), "{stderr}");
    assert_eq!(stderr.matches("trying again").count(), 1, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_before_the_given_number_is_left_out() {
    let (code, stdout, stderr) = tail(&["--after", "2", "--poll=0.01"]).await;
    assert_eq!((code, stdout.as_str()), (0, "dos"), "{stderr}");
}
