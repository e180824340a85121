//! A batch of DynamoDB stream records, each of which fails alone.

use aws_lambda_events::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use futures::StreamExt;
use lambda_runtime::Error;
use longhand::GenerationKey;
use serde_json::Value;

/// The batch of stream records of a payload.
///
/// # Errors
/// The payload is none.
pub fn read(payload: Value) -> Result<Event, Error> {
    serde_json::from_value(payload)
        .map_err(|error| format!("the payload must be a batch of DynamoDB stream records: {error}").into())
}

/// Handles the records of a payload, `at_once` of them side by side, and returns those that failed.
///
/// # Errors
/// The payload is no batch of stream records.
pub async fn handle_each<F, O>(payload: Value, at_once: usize, handle: F) -> Result<Value, Error>
where
    F: Fn(EventRecord) -> O,
    O: Future<Output = Result<(), String>>,
{
    let batch = read(payload)?;
    let failed: Vec<(Option<String>, String)> = futures::stream::iter(batch.records)
        .map(|record| {
            let number = record.change.sequence_number.clone();
            let handled = handle(record);
            async move { handled.await.err().map(|error| (number, error)) }
        })
        .buffered(at_once)
        .filter_map(futures::future::ready)
        .collect()
        .await;
    failures(failed)
}

/// The answer that has the trigger retry these records, by their sequence numbers, each of which is logged with its error.
///
/// # Errors
/// It cannot be serialised. No such answer is known.
pub fn failures(failed: impl IntoIterator<Item = (Option<String>, String)>) -> Result<Value, Error> {
    let mut response = DynamoDbEventResponse::default();
    response.batch_item_failures = failed.into_iter().map(|(number, error)| failure(number, &error)).collect();
    Ok(serde_json::to_value(response)?)
}

fn failure(sequence_number: Option<String>, error: &str) -> DynamoDbBatchItemFailure {
    tracing::error!(sequence_number, error, "A stream record could not be handled. The trigger retries it.");
    let mut failure = DynamoDbBatchItemFailure::default();
    failure.item_identifier = sequence_number;
    failure
}

/// The generation whose partition a record is in.
///
/// # Errors
/// Says what is wrong with the record's key.
pub fn generation_of(record: &EventRecord) -> Result<GenerationKey, String> {
    match record.change.keys.get("pk") {
        Some(serde_dynamo::AttributeValue::S(partition)) => {
            GenerationKey::from_partition(partition).map_err(|error| error.to_string())
        }
        _ => Err("the record's key `pk` must be a string".into()),
    }
}
