//! `settle`, invoked by the records table's stream with a batch of records that have their outcome. Each generation fails alone.

use aws_lambda_events::dynamodb::EventRecord;
use lambda_runtime::{Error, LambdaEvent};
use longhand::App;
use serde_json::Value;

use super::batch::{generation_of, handle_each};

/// Generations settled at once. Each has a text of at most a megabyte in memory, twice.
const CONCURRENCY: usize = 8;

/// Settles the generations whose records are in the batch, and returns the records that failed.
///
/// # Errors
/// The payload is no batch of stream records.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    handle_each(event.payload, CONCURRENCY, |record| settle(&app, record)).await
}

async fn settle(app: &App, record: EventRecord) -> Result<(), String> {
    // The trigger's filter drops all others.
    if !["subject", "compacted_at"].iter().all(|name| record.change.new_image.contains_key(*name)) {
        return Ok(());
    }
    app.settle(&generation_of(&record)?).await.map(drop).map_err(|error| error.to_string())
}
