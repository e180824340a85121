//! `stream`, invoked asynchronously with a [`StreamJob`].

use lambda_runtime::{Error, LambdaEvent};
use longhand::{App, StreamJob};
use serde_json::{Value, json};

use crate::deadline::stop_at;

/// Streams one generation.
///
/// # Errors
/// The payload is no job; or a store failed, and Lambda retries.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let job: StreamJob = serde_json::from_value(event.payload)
        .map_err(|error| format!("the payload must be {{\"organization\":…,\"generation\":…}}: {error}"))?;
    let streamed = app.stream(&job, stop_at(&event.context)).await?;
    Ok(json!({ "generation": job.generation, "outcome": streamed }))
}
