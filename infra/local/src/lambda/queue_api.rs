//! The part of SQS's API that operators use, over the on-failure records: receive, change visibility, delete.
//!
//! There is one queue for all functions: each record names its function.

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

/// SQS's default visibility timeout.
const HIDDEN_SECONDS: u64 = 30;

struct Queue {
    lambda: Lambda,
    /// Messages that were received, and when they become visible again.
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
        return error_response("InvalidRequest", "The body is not a valid call.");
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
            Err(error) => error_response("ReceiptHandleIsInvalid", &format!("{error:#}")),
        },
        action => error_response("UnsupportedOperation", &format!("The local queue does not support {action}.")),
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

fn error_response(kind: &str, message: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "__type": format!("com.amazonaws.sqs#{kind}"), "message": message }))).into_response()
}
