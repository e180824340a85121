//! `compact`, invoked by the buffer table's stream with a batch of terminal chunks. Each log fails alone.

use aws_lambda_events::dynamodb::EventRecord;
use lambda_runtime::{Error, LambdaEvent};
use longhand::App;
use serde_json::Value;

use super::batch::{generation_of, handle_each};

/// Logs compacted at once. Each has a part of two objects in memory.
const CONCURRENCY: usize = 2;

/// Compacts the generations whose terminal chunks are in the batch, and returns the records that failed.
///
/// # Errors
/// The payload is no batch of stream records.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    handle_each(event.payload, CONCURRENCY, |record| compact(&app, record)).await
}

async fn compact(app: &App, record: EventRecord) -> Result<(), String> {
    // The trigger's filter drops all others.
    if record.event_name != "INSERT" || !record.change.new_image.contains_key("end") {
        return Ok(());
    }
    match app.compact(&generation_of(&record)?, "compact").await {
        // Not found: it was purged in the meantime.
        Ok(_) | Err(longhand::Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
