//! `meter`, invoked by the records table's stream with what has ended in a while. All of a batch is counted, or it comes again.

use aws_lambda_events::dynamodb::EventRecord;
use lambda_runtime::{Error, LambdaEvent};
use longhand::App;
use longhand::StreamRecord;
use longhand::statistics::Mark;
use serde::Deserialize;
use serde_json::{Value, json};

/// A batch of one shard, in its order. The shard is named only where the trigger has a tumbling window
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html>).
#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records", default)]
    records: Vec<EventRecord>,
    #[serde(rename = "shardId")]
    shard: String,
}

/// Counts the generations whose records are in the batch. The invocation that ends a window has none.
///
/// # Errors
/// The payload is no batch of a trigger with a window; a row cannot be read or written. The batch comes again, and nothing passes it.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let Batch { records, shard } = serde_json::from_value(event.payload)
        .map_err(|error| format!("the payload must be a batch of stream records that names its shard: {error}"))?;
    let read = records.into_iter().filter_map(|record| {
        let number = record.change.sequence_number.clone();
        // What cannot be read now cannot be read again: nothing may wait behind it.
        read(record).map_err(|error| tracing::error!(number, error, "A record of the stream is not counted.")).ok().flatten()
    });
    let metered = Box::pin(app.meter_ends(&shard, read.collect())).await?;
    tracing::debug!(counted = metered.counted, rows = metered.rows, shard, "Ended generations were counted.");
    // Lambda takes an answer without a state for a failure. Nothing is carried from batch to batch.
    Ok(json!({ "state": {} }))
}

/// The record, if it tells the end of a generation. The trigger's filter drops all others.
fn read(record: EventRecord) -> Result<Option<StreamRecord>, String> {
    let image = record.change.new_image;
    // A record that was written again after its end was counted with its end.
    if !image.contains_key("compacted_at") || image.contains_key("revised_at") {
        return Ok(None);
    }
    let sequence = record.change.sequence_number.ok_or("it has no number")?.parse()?;
    let mark = Mark { sequence, at: record.change.approximate_creation_date_time.timestamp() };
    let record = serde_dynamo::from_item(image).map_err(|error| error.to_string())?;
    Ok(Some(StreamRecord { mark, record }))
}
