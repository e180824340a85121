//! Writes that take effect together or not at all.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, ReturnConsumedCapacity, TransactWriteItem, Update};

use super::Records;
use crate::aws::clients::aws_error;
use crate::error::Error;
use crate::retry::{self, Retryable};

/// The schedule of cancelled transactions. Two transactions that meet at one item cancel one of them, and so does throttling;
/// the SDK retries neither.
const CANCELLED_WAIT: Duration = Duration::from_millis(10);
const CANCELLED_WAIT_MAX: Duration = Duration::from_secs(1);
const CANCELLED_RETRIES: usize = 7;
/// The codes of cancellation reasons that pass (the service's documentation of `TransactionCanceledException`).
const PASSING: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
/// The code of the reason of an item whose condition does not hold.
const CONDITION: &str = "ConditionalCheckFailed";

/// The result of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Transacted {
    /// All of it is written.
    Done,
    /// Nothing is written; for each item, whether its condition held.
    Refused(Vec<bool>),
}

impl Records {
    /// Writes all of `items`, or none.
    pub(super) async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<Transacted, Error> {
        let send = || {
            let transact = self.dynamodb.transact_write_items().set_transact_items(Some(items.clone()));
            transact.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
        };
        let error = match send.retry(retry::exponential(CANCELLED_WAIT, CANCELLED_WAIT_MAX, CANCELLED_RETRIES)).when(passes).await
        {
            Ok(answer) => {
                self.meter.wrote(answer.consumed_capacity().first());
                return Ok(Transacted::Done);
            }
            Err(error) => error,
        };
        let reasons = reasons(&error);
        if !reasons.contains(&CONDITION) {
            return Err(aws_error("dynamodb TransactWriteItems")(error));
        }
        self.meter.wrote(None);
        Ok(Transacted::Refused(reasons.into_iter().map(|reason| reason != CONDITION).collect()))
    }
}

/// A put or an update as an item of a transaction.
pub(super) trait IntoItem {
    /// The item.
    fn into_item(self) -> TransactWriteItem;
}

impl IntoItem for Put {
    fn into_item(self) -> TransactWriteItem {
        TransactWriteItem::builder().put(self).build()
    }
}

impl IntoItem for Update {
    fn into_item(self) -> TransactWriteItem {
        TransactWriteItem::builder().update(self).build()
    }
}

/// Whether the same transaction may succeed later.
fn passes<R>(error: &SdkError<TransactWriteItemsError, R>) -> bool {
    let reasons = reasons(error);
    !reasons.contains(&CONDITION) && reasons.iter().any(|reason| PASSING.contains(reason))
}

/// The codes of a cancelled transaction's reasons, one for each item; none for other errors.
fn reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> Vec<&str> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return Vec::new();
    };
    cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default()).collect()
}
