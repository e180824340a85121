//! `stream`, by async invoke: the payload is a [`StreamJob`].

use std::time::{Duration, SystemTime};

use lambda_runtime::{Context, Error, LambdaEvent};
use longhand::{App, StreamJob};
use serde_json::{Value, json};
use tokio::time::Instant;

/// What is left of Lambda's deadline when the writer stops, to store what waits and the end.
const DEADLINE_RESERVE: Duration = Duration::from_secs(20);

/// Streams one generation.
///
/// # Errors
/// The payload is no job; or the stores could not be reached, and Lambda's retry goes on.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let job: StreamJob = serde_json::from_value(event.payload)
        .map_err(|error| format!("the payload must be {{\"organization\":…,\"generation\":…}}: {error}"))?;
    let streamed = app.stream(&job, stop_at(&event.context)).await?;
    Ok(json!({ "generation": job.generation, "outcome": streamed }))
}

/// A little before the deadline. A deadline that is no moment to come (cargo-lambda's `watch` gives a constant) is none.
fn stop_at(context: &Context) -> Option<Instant> {
    let left = context.deadline().duration_since(SystemTime::now()).ok()?;
    Some(Instant::now() + left.saturating_sub(DEADLINE_RESERVE.min(left / 2)))
}
