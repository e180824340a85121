//! `deliver`, invoked asynchronously with a [`DeliverJob`].

use lambda_runtime::{Error, LambdaEvent};
use longhand::notifications::delivery::DeliverJob;
use longhand::{App, DELIVER_PATIENCE};
use serde_json::{Value, json};

/// Sends the deliveries of a job that are due.
///
/// # Errors
/// The payload is no job; or a store failed, and Lambda retries.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let job: DeliverJob = serde_json::from_value(event.payload)
        .map_err(|error| format!("the payload must be {{\"organization\":…,\"deliveries\":[…]}}: {error}"))?;
    Ok(json!({ "deliveries": app.deliver(&job, DELIVER_PATIENCE).await? }))
}
