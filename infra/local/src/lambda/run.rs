//! One invocation: a handler with a real deadline, whose panic is its own.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use lambda_http::{RequestExt, request::LambdaRequest};
use lambda_runtime::{Context, Error, LambdaEvent};
use longhand_functions::Function;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;

use super::Hosted;

/// How an invocation ended.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Its request id.
    pub request_id: String,
    /// What the handler answered; null if it failed.
    pub answer: Value,
    /// How it failed: `{"errorType", "errorMessage"}`.
    pub error: Option<Value>,
}

/// The context of an invocation of `hosted` that begins now.
pub fn invocation_context(hosted: &Hosted, request_id: &str) -> Context {
    let deadline = SystemTime::now() + Duration::from_secs(hosted.definition.timeout_seconds);
    let mut context = Context::default();
    request_id.clone_into(&mut context.request_id);
    context.deadline = u64::try_from(deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    context.invoked_function_arn = hosted.definition.arn();
    context
}

/// Runs the handler in a task of its own and waits for it, for as long as the function's timeout allows. Logs a failure.
pub async fn run(hosted: &Arc<Hosted>, payload: Value, request_id: String) -> Invocation {
    let invocation = attempt(hosted, payload, request_id).await;
    if let Some(error) = &invocation.error {
        let (function, message) = (&hosted.definition.id, error["errorMessage"].as_str().unwrap_or_default());
        let request_id = &invocation.request_id;
        tracing::warn!(function, request_id, error = message, "an invocation of {function} failed: {message}");
    }
    invocation
}

/// The same, in silence.
pub async fn attempt(hosted: &Arc<Hosted>, payload: Value, request_id: String) -> Invocation {
    let context = invocation_context(hosted, &request_id);
    let timeout = Duration::from_secs(hosted.definition.timeout_seconds);
    let task = AbortOnDropHandle::new(tokio::spawn(call(hosted.clone(), LambdaEvent::new(payload, context))));
    let outcome = match tokio::time::timeout(timeout, task).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(error))) => Err(("Runtime.HandlerError", error.to_string())),
        Ok(Err(stopped)) => Err(("Runtime.Panic", format!("the handler panicked: {stopped}"))),
        Err(_) => {
            let message = format!("{request_id} Error: Task timed out after {:.2} seconds", timeout.as_secs_f64());
            Err(("Sandbox.Timedout", message))
        }
    };
    match outcome {
        Ok(answer) => Invocation { request_id, answer, error: None },
        Err((kind, message)) => {
            Invocation { request_id, answer: Value::Null, error: Some(json!({ "errorType": kind, "errorMessage": message })) }
        }
    }
}

async fn call(hosted: Arc<Hosted>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    match &hosted.function {
        Function::Event(handler) => handler(event).await,
        Function::Http(router) | Function::HttpStream(router) => request(&hosted, router.clone(), event).await,
    }
}

/// An API Gateway event, as the real binary would take it, and the answer in API Gateway's form.
async fn request(hosted: &Hosted, router: axum::Router, mut event: LambdaEvent<Value>) -> Result<Value, Error> {
    // lambda_http reads this setting of the function from the process's environment, which here is not the function's.
    if hosted.definition.environment.contains_key("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH") {
        event.payload["requestContext"]["stage"] = json!("$default");
    }
    // From text, because lambda_http looks at the raw payload to tell which service sent it.
    let request: LambdaRequest = serde_json::from_str(&event.payload.to_string())?;
    let request = lambda_http::Request::from(request).with_lambda_context(event.context);
    let (head, body) = router.oneshot(request).await?.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await?;
    let mut headers = serde_json::Map::new();
    for name in head.headers.keys() {
        let values = head.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        headers.insert(name.to_string(), values.collect());
    }
    let (body, is_base64) = match std::str::from_utf8(&body) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (BASE64_STANDARD.encode(&body), true),
    };
    Ok(json!({ "statusCode": head.status.as_u16(), "multiValueHeaders": headers, "body": body, "isBase64Encoded": is_base64 }))
}
