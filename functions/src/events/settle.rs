//! `settle`, invoked by the records table's stream with a batch of records that have their outcome, and of notifications. Each fails alone, and
//! the items of each batch do.

use std::collections::{BTreeMap, HashMap};

use aws_lambda_events::dynamodb::{Event, EventRecord};
use futures::{FutureExt as _, StreamExt as _, stream};
use lambda_runtime::{Error, LambdaEvent};
use longhand::aws::RecordRow;
use longhand::notifications::Notification;
use longhand::{App, BatchKey, RunKey};
use serde_json::Value;

use super::batch::{failures, generation_of, read};

/// Generations settled at once. Each has a text of at most a megabyte in memory, twice.
const CONCURRENCY: usize = 8;

/// Settles the generations whose records are in the batch, fans the notifications out, and returns the records that failed. Versions are
/// made first: who hears of the end of a batch finds them.
///
/// # Errors
/// The payload is no batch of stream records.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let Event { records, .. } = read(event.payload)?;
    let versions = records.iter().map(|record| settle(&app, record).boxed()).collect::<Vec<_>>();
    let versions: Vec<Result<(), String>> = stream::iter(versions).buffered(CONCURRENCY).collect().await;
    let items = settle_parents(&app, &records).await;
    let failed = records.iter().zip(versions).filter_map(|(record, version)| {
        let number = record.change.sequence_number.clone();
        let of_item = number.as_ref().and_then(|number| items.get(number).cloned());
        version.err().or(of_item).map(|error| (number, error))
    });
    failures(failed)
}

async fn settle(app: &App, record: &EventRecord) -> Result<(), String> {
    let image = &record.change.new_image;
    // The trigger's filter passes notifications, and ends that are of a subject, of a batch, or to be told.
    if record.event_name == "INSERT" && has_sort_key(record, "notification") {
        let notification: Notification =
            serde_dynamo::from_item(image.clone()).map_err(|error| format!("the record must have a notification: {error}"))?;
        return app.fan_out(&notification).await.map(drop).map_err(|error| error.to_string());
    }
    // A run that has completed, and whose result becomes a version.
    if has_sort_key(record, "run") {
        let key = run_of(record)?;
        return app.settle_run(&key).await.map(drop).map_err(|error| error.to_string());
    }
    if !image.contains_key("compacted_at") || !["subject", "on_end"].iter().any(|name| image.contains_key(*name)) {
        return Ok(());
    }
    app.settle(&generation_of(record)?).await.map(drop).map_err(|error| error.to_string())
}

/// What an ended generation is a try of.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Parent {
    Batch(BatchKey),
    Run(RunKey),
}

impl Parent {
    fn of(record: &RecordRow) -> Option<Self> {
        let batch = record.item().map(|(batch, _)| Self::Batch(batch));
        batch.or_else(|| record.step().map(|(run, _)| Self::Run(run)))
    }

    async fn settle(&self, app: &App, records: &[RecordRow]) -> Result<(), longhand::Error> {
        match self {
            Self::Batch(batch) => app.settle_items(batch, records).await,
            Self::Run(run) => app.settle_steps(run, records).await,
        }
    }
}

/// Counts the ends of a batch's items, or of a run's steps, together. Returns the errors of those that were not counted, by their sequence
/// numbers.
async fn settle_parents(app: &App, records: &[EventRecord]) -> BTreeMap<String, String> {
    let mut by_parent: HashMap<Parent, (Vec<String>, Vec<RecordRow>)> = HashMap::new();
    let mut errors = BTreeMap::new();
    for record in records {
        let image = &record.change.new_image;
        if !image.contains_key("parent") {
            continue;
        }
        let number = record.change.sequence_number.clone().unwrap_or_default();
        match serde_dynamo::from_item::<_, RecordRow>(image.clone()) {
            Ok(row) => {
                let Some(parent) = Parent::of(&row) else { continue };
                let (numbers, rows) = by_parent.entry(parent).or_default();
                numbers.push(number);
                rows.push(row);
            }
            Err(error) => drop(errors.insert(number, format!("the record cannot be read: {error}"))),
        }
    }
    // Side by side: one does not wait for another's turn.
    let counted = by_parent.into_iter();
    let counted = counted.map(|(parent, (numbers, rows))| async move { (numbers, parent.settle(app, &rows).await) }.boxed());
    let counted: Vec<_> = stream::iter(counted.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY).collect().await;
    for (numbers, settled) in counted {
        if let Err(error) = settled {
            errors.extend(numbers.into_iter().map(|number| (number, error.to_string())));
        }
    }
    errors
}

/// The run whose header is in a record.
fn run_of(record: &EventRecord) -> Result<RunKey, String> {
    let Some(serde_dynamo::AttributeValue::S(partition)) = record.change.keys.get("pk") else {
        return Err("the record must have a partition key".into());
    };
    RunKey::from_partition(partition).map_err(|error| error.to_string())
}

fn has_sort_key(record: &EventRecord, name: &str) -> bool {
    matches!(record.change.keys.get("sk"), Some(serde_dynamo::AttributeValue::S(sort)) if sort == name)
}
