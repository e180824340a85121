//! `stream`, invoked asynchronously with a [`Job`].

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent};
use longhand::{App, Job, NextItem, NextRider};
use serde_json::{Value, json};

use crate::deadline::stop_at;

/// Streams one generation, or several side by side.
///
/// # Errors
/// The payload is no job; or a store failed, and Lambda retries.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let job = Job::from_json(event.payload).map_err(|error| {
        format!("the payload must be {{\"organization\":…,\"generation\":…}}, or have several ids in \"generations\": {error}")
    })?;
    let stop_at = stop_at(&event.context);
    match job {
        Job::One(job) => {
            let streamed = app.stream(&job, stop_at).await?;
            Ok(json!({ "generation": job.generation, "outcome": streamed }))
        }
        Job::Ride(job) => {
            let next: Arc<dyn NextRider> = Arc::new(NextItem::new(app.clone()));
            let rode = app.ride(&job, stop_at, &next).await;
            let outcomes = rode.into_iter().map(|rode| Ok(json!({ "generation": rode.generation, "outcome": rode.streamed? })));
            // One that failed fails the invocation, and Lambda runs the job again: the others have ended, or are written already.
            let outcomes: Result<Vec<Value>, longhand::Error> = outcomes.collect();
            Ok(json!({ "generations": outcomes? }))
        }
    }
}
