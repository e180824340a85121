//! Quotas, and what has been used of them, in the records table.
//!
//! Usage is added to in the transaction that creates a record, or that writes its outcome: each happens once, so each counts once,
//! however often it is tried.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use serde::{Deserialize, Serialize};

use super::rows::{self, Outcome, RecordRow, RequestRow};
use super::transactions::Transacted;
use super::{OutcomeUpdate, Records, row_key};
use crate::aws::clients::unexpected;
use crate::error::Error;
use crate::generation::Status;
use crate::ids::{GenerationKey, Organization};
use crate::limits::USAGE_TTL;
use crate::quota::{DayUsage, Quota};

/// Sort key of a quota.
const QUOTA: &str = "quota";

#[derive(Serialize, Deserialize)]
struct QuotaRow {
    pk: String,
    sk: String,
    #[serde(flatten)]
    quota: Quota,
}

/// What became of a record that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It is stored and counted.
    Stored,
    /// It was there before, and was counted then.
    Exists,
    /// The day's generations are used up: nothing is stored.
    UsedUp,
}

impl Records {
    /// An organization's own quota.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn quota(&self, organization: &Organization) -> Result<Option<Quota>, Error> {
        let row: Option<QuotaRow> = self.get_row(&settings(organization), QUOTA).await?;
        Ok(row.map(|row| row.quota))
    }

    /// Sets an organization's own quota, whatever it was.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_quota(&self, organization: &Organization, quota: Quota) -> Result<(), Error> {
        self.put(&QuotaRow { pk: settings(organization), sk: QUOTA.into(), quota }).await
    }

    /// What an organization has used of a day.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn day_usage(&self, organization: &Organization, day: &str) -> Result<DayUsage, Error> {
        Ok(self.get_row(&usage(organization), day).await?.unwrap_or_default())
    }

    /// Stores a new record with its request (`None`: that lies in the bucket), and counts it for its day, of whose generations
    /// there may be `most`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn create_counted(
        &self,
        key: &GenerationKey,
        record: &RecordRow,
        request: Option<String>,
        day: &str,
        most: Option<u64>,
    ) -> Result<Counted, Error> {
        let request = RequestRow { pk: key.partition(), sk: rows::REQUEST.into(), request };
        let item = serde_dynamo::to_item(request).map_err(failed)?;
        let request = Put::builder().table_name(&self.table).set_item(Some(item)).build().map_err(failed)?;
        let one = DayUsage { generations: 1, ..DayUsage::default() };
        let items = vec![
            self.put_of_new(record)?,
            TransactWriteItem::builder().put(request).build(),
            self.count(&key.organization, day, one, most)?,
        ];
        Ok(match self.transact(items).await? {
            Transacted::Done => Counted::Stored,
            Transacted::Refused(held) if held.first() == Some(&false) => Counted::Exists,
            Transacted::Refused(_) => Counted::UsedUp,
        })
    }

    /// As [`Records::finish`], and counts what was used. `false`: there is an outcome already, which was counted.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn finish_counted(
        &self,
        key: &GenerationKey,
        status: Status,
        outcome: &Outcome,
        day: &str,
        used: DayUsage,
    ) -> Result<bool, Error> {
        let OutcomeUpdate { condition, expression, names, values } = OutcomeUpdate::new(status, outcome)?;
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(row_key(&key.partition(), rows::RECORD)))
            .condition_expression(condition)
            .update_expression(expression)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .build()
            .map_err(failed)?;
        let items = vec![TransactWriteItem::builder().update(update).build(), self.count(&key.organization, day, used, None)?];
        Ok(self.transact(items).await? == Transacted::Done)
    }

    fn count(
        &self,
        organization: &Organization,
        day: &str,
        used: DayUsage,
        most: Option<u64>,
    ) -> Result<TransactWriteItem, Error> {
        let number = |number: u64| AttributeValue::N(number.to_string());
        let midnight = format!("{day}T00:00:00Z").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
        let expires_at = midnight + USAGE_TTL.as_secs().cast_signed();
        let mut values = HashMap::from([
            (":generations".to_owned(), number(used.generations)),
            (":output_bytes".to_owned(), number(used.output_bytes)),
            (":spend".to_owned(), number(used.spend)),
            (":expires_at".to_owned(), AttributeValue::N(expires_at.to_string())),
        ]);
        let add = "SET expires_at = :expires_at ADD generations :generations, output_bytes :output_bytes, spend :spend";
        let mut update =
            Update::builder().table_name(&self.table).set_key(Some(row_key(&usage(organization), day))).update_expression(add);
        if let Some(most) = most {
            values.insert(":most".to_owned(), number(most));
            update = update.condition_expression("attribute_not_exists(generations) OR generations < :most");
        }
        let update = update.set_expression_attribute_values(Some(values)).build().map_err(failed)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    unexpected("dynamodb TransactWriteItems", error)
}

fn settings(organization: &Organization) -> String {
    format!("{organization}#settings")
}

fn usage(organization: &Organization) -> String {
    format!("{organization}#usage")
}
