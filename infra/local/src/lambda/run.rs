//! Runs one invocation of a handler, with a deadline and with panics contained.

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
    /// The request id.
    pub request_id: String,
    /// The handler's response; null if it failed.
    pub response: Value,
    /// The error, `{"errorType", "errorMessage"}`; `None` if the handler succeeded.
    pub error: Option<Value>,
}

/// The context of an invocation of `hosted` that starts now.
pub fn invocation_context(hosted: &Hosted, request_id: &str) -> Context {
    let deadline = SystemTime::now() + Duration::from_secs(hosted.definition.timeout_seconds);
    let mut context = Context::default();
    request_id.clone_into(&mut context.request_id);
    context.deadline = u64::try_from(deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    context.invoked_function_arn = hosted.definition.arn();
    context
}

/// Runs the handler as [`run`] does, and logs a failure.
pub async fn run_and_log(hosted: &Arc<Hosted>, payload: Value, request_id: String) -> Invocation {
    let invocation = run(hosted, payload, request_id).await;
    if let Some(error) = &invocation.error {
        let (function, message) = (&hosted.definition.id, error["errorMessage"].as_str().unwrap_or_default());
        let request_id = &invocation.request_id;
        tracing::warn!(function, request_id, error = message, "invocation of {function} failed: {message}");
    }
    invocation
}

/// Runs the handler in its own task and waits for it, up to the function's timeout.
pub async fn run(hosted: &Arc<Hosted>, payload: Value, request_id: String) -> Invocation {
    let context = invocation_context(hosted, &request_id);
    let timeout = Duration::from_secs(hosted.definition.timeout_seconds);
    let task = AbortOnDropHandle::new(tokio::spawn(call(hosted.clone(), LambdaEvent::new(payload, context))));
    let outcome = match tokio::time::timeout(timeout, task).await {
        Ok(Ok(Ok(response))) => Ok(response),
        Ok(Ok(Err(error))) => Err(("Runtime.HandlerError", error.to_string())),
        Ok(Err(stopped)) => Err(("Runtime.Panic", format!("the handler panicked: {stopped}"))),
        Err(_) => {
            let message = format!("{request_id} Error: Task timed out after {:.2} seconds", timeout.as_secs_f64());
            Err(("Sandbox.Timedout", message))
        }
    };
    match outcome {
        Ok(response) => Invocation { request_id, response, error: None },
        Err((kind, message)) => {
            Invocation { request_id, response: Value::Null, error: Some(json!({ "errorType": kind, "errorMessage": message })) }
        }
    }
}

async fn call(hosted: Arc<Hosted>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    match &hosted.function {
        Function::Event(handler) => handler(event).await,
        Function::Http(router) | Function::HttpStream(router) => call_http(&hosted, router.clone(), event).await,
    }
}

/// Handles an API Gateway event as the deployed binary does, and returns the response in API Gateway's form.
async fn call_http(hosted: &Hosted, router: axum::Router, mut event: LambdaEvent<Value>) -> Result<Value, Error> {
    // lambda_http reads this variable from the environment of the process, which here is not the environment of the function.
    if hosted.definition.environment.contains_key("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH") {
        event.payload["requestContext"]["stage"] = json!("$default");
    }
    // Parsed from text, because lambda_http inspects the raw payload to detect the service that sent it.
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
