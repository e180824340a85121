//! Calls that both tables make in the same way.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, ReturnConsumedCapacity, WriteRequest};
use tokio::time::sleep;

use super::clients::{aws_error, unexpected};
use super::meter::Meter;
use crate::error::Error;
use crate::retry::{self, BackoffBuilder, ExponentialBackoff};

/// An item, or the key of one.
pub(super) type Item = HashMap<String, AttributeValue>;

const BATCH_WRITE: &str = "dynamodb BatchWriteItem";
/// Items in one `BatchWriteItem` (DynamoDB's limit).
pub(super) const BATCH_WRITE_MAX: u8 = 25;

/// The schedule of [`UnprocessedWaits`]: at most 7.6 s in all.
const UNPROCESSED_WAIT: Duration = Duration::from_millis(25);
const UNPROCESSED_WAIT_MAX: Duration = Duration::from_secs(1);
const UNPROCESSED_RETRIES: usize = 12;

/// Queries the rows of one partition, with their cost.
pub(super) fn query_partition(dynamodb: &Client, table: &str, partition: String) -> QueryFluentBuilder {
    let query = dynamodb.query().table_name(table).key_condition_expression("pk = :pk");
    query.expression_attribute_values(":pk", AttributeValue::S(partition)).return_consumed_capacity(ReturnConsumedCapacity::Total)
}

/// One page of a query.
pub(super) async fn query_page(query: QueryFluentBuilder, meter: &Meter) -> Result<QueryOutput, Error> {
    let page = query.send().await.map_err(aws_error("dynamodb Query"))?;
    meter.read(page.consumed_capacity());
    Ok(page)
}

/// The items of all pages of a query.
pub(super) async fn query_all(query: QueryFluentBuilder, meter: &Meter) -> Result<Vec<Item>, Error> {
    let (mut items, mut from) = (Vec::new(), None);
    loop {
        let page = query_page(query.clone().set_exclusive_start_key(from), meter).await?;
        items.extend(page.items.unwrap_or_default());
        from = page.last_evaluated_key;
        if from.is_none() {
            return Ok(items);
        }
    }
}

/// Updates an item where its condition holds; `false`: it does not.
pub(super) async fn update_where(update: UpdateItemFluentBuilder, meter: &Meter) -> Result<bool, Error> {
    Ok(touched(update, meter).await?.is_some())
}

/// The same, with what `update` asks to be returned of the item; `None`: its condition does not hold.
pub(super) async fn touched(update: UpdateItemFluentBuilder, meter: &Meter) -> Result<Option<Item>, Error> {
    match update.send().await {
        Ok(updated) => {
            meter.wrote(updated.consumed_capacity());
            Ok(Some(updated.attributes.unwrap_or_default()))
        }
        Err(error) if matches!(error.as_service_error(), Some(UpdateItemError::ConditionalCheckFailedException(_))) => {
            meter.wrote(None);
            Ok(None)
        }
        Err(error) => Err(aws_error("dynamodb UpdateItem")(error)),
    }
}

/// Deletes the items with these keys, in batches.
///
/// # Errors
/// [`Error::Aws`], also where DynamoDB leaves items unprocessed in every try. Some may have been deleted.
pub(super) async fn delete_all(dynamodb: &Client, table: &str, keys: &[Item], meter: &Meter) -> Result<(), Error> {
    let request = |key: &Item| {
        let delete = DeleteRequest::builder().set_key(Some(key.clone())).build();
        delete.map(|delete| WriteRequest::builder().delete_request(delete).build())
    };
    for batch in keys.chunks(BATCH_WRITE_MAX.into()) {
        let requests = batch.iter().map(request).collect::<Result<Vec<_>, _>>();
        write_batch(dynamodb, table, requests.map_err(|error| unexpected(BATCH_WRITE, error))?, meter).await?;
    }
    Ok(())
}

/// Puts at most [`BATCH_WRITE_MAX`] items, in place of what there is.
///
/// # Errors
/// [`Error::Aws`], also where DynamoDB leaves items unprocessed in every try. Some may have been put.
pub(super) async fn put_batch(dynamodb: &Client, table: &str, items: Vec<Item>, meter: &Meter) -> Result<(), Error> {
    let request = |item| {
        let put = PutRequest::builder().set_item(Some(item)).build();
        put.map(|put| WriteRequest::builder().put_request(put).build())
    };
    let requests = items.into_iter().map(request).collect::<Result<Vec<_>, _>>();
    write_batch(dynamodb, table, requests.map_err(|error| unexpected(BATCH_WRITE, error))?, meter).await
}

async fn write_batch(dynamodb: &Client, table: &str, mut requests: Vec<WriteRequest>, meter: &Meter) -> Result<(), Error> {
    let mut waits = UnprocessedWaits::new(BATCH_WRITE);
    while !requests.is_empty() {
        let batch = dynamodb.batch_write_item().request_items(table, requests);
        let answer = batch.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        let answer = answer.map_err(aws_error(BATCH_WRITE))?;
        meter.wrote(answer.consumed_capacity().first());
        requests = answer.unprocessed_items.into_iter().flatten().flat_map(|(_, requests)| requests).collect();
        waits.sleep(requests.len()).await?;
    }
    Ok(())
}

/// The waits between calls for what DynamoDB has left unprocessed of one batch.
pub(super) struct UnprocessedWaits {
    operation: &'static str,
    waits: ExponentialBackoff,
}

impl UnprocessedWaits {
    /// For a batch of `operation`.
    pub fn new(operation: &'static str) -> Self {
        Self { operation, waits: retry::exponential(UNPROCESSED_WAIT, UNPROCESSED_WAIT_MAX, UNPROCESSED_RETRIES).build() }
    }

    /// Waits until the `left` unprocessed items may be sent again; not at all where there are none.
    ///
    /// # Errors
    /// [`Error::Aws`] after the last retry.
    pub async fn sleep(&mut self, left: usize) -> Result<(), Error> {
        if left > 0 {
            sleep(self.next(left)?).await;
        }
        Ok(())
    }

    fn next(&mut self, left: usize) -> Result<Duration, Error> {
        let error = || unexpected(self.operation, format!("items unprocessed after {UNPROCESSED_RETRIES} retries: {left}"));
        self.waits.next().ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_unprocessed_items_grow_and_end() {
        let mut waits = UnprocessedWaits::new("op");
        let all: Vec<Duration> = (0..UNPROCESSED_RETRIES).map(|_| waits.next(3).unwrap()).collect();
        let shortest = (0..).map(|doublings| (UNPROCESSED_WAIT * (1 << doublings)).min(UNPROCESSED_WAIT_MAX) / 2);
        for (wait, shortest) in all.iter().zip(shortest) {
            assert!((shortest..=2 * shortest).contains(wait), "{all:?}");
        }
        let error = waits.next(3).unwrap_err();
        assert!(matches!(&error, Error::Aws { operation: "op", message } if message.ends_with("12 retries: 3")), "{error}");
    }
}
