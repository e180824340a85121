//! SQS's API over the on-failure records, as far as an operator needs it: receive, give back, delete.
//!
//! One queue, whatever queues the template has: a record says itself what it is about.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Lambda;
use crate::template::ACCOUNT;

/// As on AWS, for a queue that says nothing else.
const HIDDEN_SECONDS: u64 = 30;

struct Queue {
    lambda: Lambda,
    /// Until when a message is not given out again.
    hidden: Mutex<HashMap<String, Instant>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Call {
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<u64>,
    receipt_handle: Option<String>,
}

/// `POST /`, the action in the header `X-Amz-Target`.
pub fn router(lambda: Lambda) -> Router {
    Router::new().route("/", post(call)).with_state(Arc::new(Queue { lambda, hidden: Mutex::default() }))
}

/// The queue's URL at `endpoint`.
pub fn url(endpoint: &str) -> String {
    format!("{endpoint}/{ACCOUNT}/failures")
}

async fn call(State(queue): State<Arc<Queue>>, headers: HeaderMap, body: Bytes) -> Response {
    // The SDK's content type is `application/x-amz-json-1.0`.
    let Ok(call) = serde_json::from_slice::<Call>(&body) else {
        return refusal("InvalidRequest", "The body is no call of the local queue.");
    };
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let receipt = call.receipt_handle.as_deref().unwrap_or_default();
    match target.strip_prefix("AmazonSQS.").unwrap_or(target) {
        "ReceiveMessage" => Json(queue.receive(&call)).into_response(),
        "ChangeMessageVisibility" => {
            queue.hide(receipt, call.visibility_timeout.unwrap_or_default());
            Json(json!({})).into_response()
        }
        "DeleteMessage" => match queue.lambda.failures().remove(receipt) {
            Ok(()) => Json(json!({})).into_response(),
            Err(error) => refusal("ReceiptHandleIsInvalid", &format!("{error:#}")),
        },
        action => refusal("UnsupportedOperation", &format!("The local queue cannot do {action}.")),
    }
}

impl Queue {
    fn receive(&self, call: &Call) -> Value {
        let mut messages = Vec::new();
        for (id, record) in self.lambda.failures().named() {
            if messages.len() == call.max_number_of_messages.unwrap_or(1) {
                break;
            }
            if self.is_hidden(&id) {
                continue;
            }
            self.hide(&id, call.visibility_timeout.unwrap_or(HIDDEN_SECONDS));
            messages.push(json!({ "MessageId": id, "ReceiptHandle": id, "Body": record.to_string() }));
        }
        json!({ "Messages": messages })
    }

    fn is_hidden(&self, id: &str) -> bool {
        self.hidden.lock().is_ok_and(|hidden| hidden.get(id).is_some_and(|until| Instant::now() < *until))
    }

    fn hide(&self, id: &str, seconds: u64) {
        if let Ok(mut hidden) = self.hidden.lock() {
            hidden.retain(|_, until| Instant::now() < *until);
            hidden.insert(id.to_owned(), Instant::now() + Duration::from_secs(seconds));
        }
    }
}

fn refusal(kind: &str, message: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "__type": format!("com.amazonaws.sqs#{kind}"), "message": message }))).into_response()
}
