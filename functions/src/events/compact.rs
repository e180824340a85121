//! `compact`, invoked by the buffer table's stream with a batch of terminal chunks. Each log fails alone.

use aws_lambda_events::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use futures::StreamExt;
use lambda_runtime::{Error, LambdaEvent};
use longhand::{App, GenerationKey};
use serde_json::Value;

/// Logs compacted at once. Each has a part of two objects in memory.
const CONCURRENCY: usize = 2;

/// Compacts the generations whose terminal chunks are in the batch, and returns the records that failed.
///
/// # Errors
/// The payload is no batch of stream records.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let batch: Event = serde_json::from_value(event.payload)
        .map_err(|error| format!("the payload must be a batch of DynamoDB stream records: {error}"))?;
    let failures: Vec<DynamoDbBatchItemFailure> = futures::stream::iter(batch.records)
        .map(|record| compact(&app, record))
        .buffered(CONCURRENCY)
        .filter_map(futures::future::ready)
        .collect()
        .await;
    let mut response = DynamoDbEventResponse::default();
    response.batch_item_failures = failures;
    Ok(serde_json::to_value(response)?)
}

async fn compact(app: &App, record: EventRecord) -> Option<DynamoDbBatchItemFailure> {
    let key = match key(&record) {
        Ok(Some(key)) => key,
        Ok(None) => return None,
        Err(error) => return Some(failure(&record, &error)),
    };
    match app.compact(&key, "compact").await {
        // Not found: it was purged in the meantime.
        Ok(_) | Err(longhand::Error::NotFound(_)) => None,
        Err(error) => Some(failure(&record, &error.to_string())),
    }
}

fn failure(record: &EventRecord, error: &str) -> DynamoDbBatchItemFailure {
    let mut failure = DynamoDbBatchItemFailure::default();
    failure.item_identifier.clone_from(&record.change.sequence_number);
    tracing::error!(
        sequence_number = record.change.sequence_number,
        error,
        "A record could not be compacted. The trigger retries it."
    );
    failure
}

/// The generation of a terminal chunk; `None` for any other record, which the trigger's filter should drop.
fn key(record: &EventRecord) -> Result<Option<GenerationKey>, String> {
    if record.event_name != "INSERT" || !record.change.new_image.contains_key("end") {
        return Ok(None);
    }
    let partition: String = match record.change.keys.get("pk") {
        Some(serde_dynamo::AttributeValue::S(partition)) => partition.clone(),
        _ => return Err("the record's key `pk` must be a string".into()),
    };
    GenerationKey::from_partition(&partition).map(Some).map_err(|error| error.to_string())
}
