//! The part of SQS's API that operators and a fleet's workers use, over two queues: `failures`, the on-failure records, and `jobs`.
//!
//! There is one queue of failures for all functions: each record names its function.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

use super::{
    Lambda,
    jobs::{Jobs, Message},
};
use crate::template::ACCOUNT;

/// SQS's default visibility timeout.
const HIDDEN_SECONDS: u64 = 30;
/// The longest that a receive waits (SQS's limit).
const WAIT_SECONDS_MAX: u64 = 20;
/// How often a receive that waits looks again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The queue of a fleet's jobs. Clones are the same queue.
pub type SharedJobs = Arc<Mutex<Jobs>>;

struct Queues {
    lambda: Lambda,
    /// Records that were received, and when they become visible again.
    hidden: Mutex<HashMap<String, Instant>>,
    jobs: SharedJobs,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Call {
    queue_url: Option<String>,
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<u64>,
    wait_time_seconds: Option<u64>,
    receipt_handle: Option<String>,
    message_body: Option<String>,
}

/// `POST /`, the action in the header `X-Amz-Target`.
pub fn router(lambda: Lambda, jobs: SharedJobs) -> Router {
    Router::new().route("/", post(call)).with_state(Arc::new(Queues { lambda, hidden: Mutex::default(), jobs }))
}

/// The URL of the on-failure records at `endpoint`.
pub fn url(endpoint: &str) -> String {
    format!("{endpoint}/{ACCOUNT}/failures")
}

/// The URL of the queue of jobs at `endpoint`.
pub fn jobs_url(endpoint: &str) -> String {
    format!("{endpoint}/{ACCOUNT}/jobs")
}

async fn call(State(queues): State<Arc<Queues>>, headers: HeaderMap, body: Bytes) -> Response {
    // The SDK's content type is `application/x-amz-json-1.0`.
    let Ok(call) = serde_json::from_slice::<Call>(&body) else {
        return error_response("InvalidRequest", "The body is not a valid call.");
    };
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let action = target.strip_prefix("AmazonSQS.").unwrap_or(target);
    let queue = call.queue_url.as_deref().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
    match queue {
        "failures" => queues.of_failures(action, &call),
        "jobs" => queues.of_jobs(action, call).await,
        _ => error_response("QueueDoesNotExist", &format!("There is no queue {queue:?}, only failures and jobs.")),
    }
}

impl Queues {
    fn of_failures(&self, action: &str, call: &Call) -> Response {
        let receipt = call.receipt_handle.as_deref().unwrap_or_default();
        match action {
            "ReceiveMessage" => Json(self.receive_failures(call)).into_response(),
            "ChangeMessageVisibility" => {
                self.hide(receipt, call.visibility_timeout.unwrap_or_default());
                Json(json!({})).into_response()
            }
            "DeleteMessage" => match self.lambda.failures().remove(receipt) {
                Ok(()) => Json(json!({})).into_response(),
                Err(error) => error_response("ReceiptHandleIsInvalid", &format!("{error:#}")),
            },
            action => error_response("UnsupportedOperation", &format!("The queue of failures does not support {action}.")),
        }
    }

    async fn of_jobs(&self, action: &str, call: Call) -> Response {
        let receipt = call.receipt_handle.as_deref().unwrap_or_default();
        match action {
            "SendMessage" => {
                let Some(body) = call.message_body else { return error_response("MissingParameter", "MessageBody is required.") };
                let id = self.jobs().send(body, Instant::now());
                Json(json!({ "MessageId": id })).into_response()
            }
            "ReceiveMessage" => Json(json!({ "Messages": self.wait_for_jobs(&call).await })).into_response(),
            "ChangeMessageVisibility" => {
                let hidden = Duration::from_secs(call.visibility_timeout.unwrap_or_default());
                let is_there = self.jobs().hide(receipt, hidden, Instant::now());
                if is_there {
                    Json(json!({})).into_response()
                } else {
                    error_response("InvalidParameterValue", "The message is not available for a visibility timeout change.")
                }
            }
            "DeleteMessage" => {
                self.jobs().delete(receipt);
                Json(json!({})).into_response()
            }
            action => error_response("UnsupportedOperation", &format!("The queue of jobs does not support {action}.")),
        }
    }

    async fn wait_for_jobs(&self, call: &Call) -> Vec<Value> {
        let until = Instant::now() + Duration::from_secs(call.wait_time_seconds.unwrap_or_default().min(WAIT_SECONDS_MAX));
        let hidden = Duration::from_secs(call.visibility_timeout.unwrap_or(HIDDEN_SECONDS));
        loop {
            let messages = self.jobs().receive(call.max_number_of_messages.unwrap_or(1), hidden, Instant::now());
            if !messages.is_empty() || Instant::now() >= until {
                return messages.iter().map(rendered).collect();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive_failures(&self, call: &Call) -> Value {
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

fn rendered(message: &Message) -> Value {
    let Message { id, body, receives, .. } = message;
    let attributes = json!({ "ApproximateReceiveCount": receives.to_string() });
    json!({ "MessageId": id, "ReceiptHandle": id, "Body": body, "Attributes": attributes })
}

fn error_response(kind: &str, message: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "__type": format!("com.amazonaws.sqs#{kind}"), "message": message }))).into_response()
}
