//! Writes that hold together or not at all.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, ReturnConsumedCapacity, TransactWriteItem};
use serde::Serialize;
use tokio::time::sleep;

use super::Records;
use crate::aws::clients::{aws_error, unexpected};
use crate::error::Error;

/// Two transactions that meet at one item cancel one of them, and so does a table that is out of breath, which the SDK takes for
/// final; it is tried again so often, with a pause that doubles.
const CANCELLED_TRIES_MAX: u32 = 8;
const CANCELLED_PAUSE: Duration = Duration::from_millis(10);
/// The codes of reasons that pass (the service's own documentation of `TransactionCanceledException`).
const PASSING: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::aws) enum Transacted {
    /// All of it is written.
    Done,
    /// Nothing is: whether the condition of each of its items held.
    Refused(Vec<bool>),
}

impl Records {
    /// Writes all of `items`, or none.
    pub(in crate::aws) async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<Transacted, Error> {
        let mut pause = CANCELLED_PAUSE;
        for tries in 1.. {
            let transact = self.dynamodb.transact_write_items().set_transact_items(Some(items.clone()));
            let error = match transact.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await {
                Ok(answer) => {
                    self.meter.wrote(answer.consumed_capacity().first());
                    return Ok(Transacted::Done);
                }
                Err(error) => error,
            };
            let reasons = error.as_service_error().map(reasons).unwrap_or_default();
            if reasons.iter().any(|reason| reason == "ConditionalCheckFailed") {
                self.meter.wrote(None);
                return Ok(Transacted::Refused(reasons.iter().map(|reason| reason != "ConditionalCheckFailed").collect()));
            }
            if tries == CANCELLED_TRIES_MAX || !reasons.iter().any(|reason| PASSING.contains(&reason.as_str())) {
                return Err(aws_error("dynamodb TransactWriteItems")(error));
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause *= 2;
        }
        Err(unexpected("dynamodb TransactWriteItems", "it was never tried"))
    }

    /// The put of a row that is not there yet.
    pub(in crate::aws) fn put_of_new<R: Serialize>(&self, row: &R) -> Result<TransactWriteItem, Error> {
        let item = serde_dynamo::to_item(row).map_err(|error| unexpected("dynamodb TransactWriteItems", error))?;
        let put = Put::builder().table_name(&self.table).set_item(Some(item)).condition_expression("attribute_not_exists(pk)");
        let put = put.build().map_err(|error| unexpected("dynamodb TransactWriteItems", error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

fn reasons(error: &TransactWriteItemsError) -> Vec<String> {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { return Vec::new() };
    cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default().to_owned()).collect()
}
