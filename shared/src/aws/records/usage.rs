//! Quotas, and what has been used of them.
//!
//! Usage is added in the transaction that creates a record or writes its outcome. Each of these succeeds once, so each is counted
//! once, however often it is tried.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, Update};

use super::Records;
use super::key::Key;
use crate::aws::clients::unexpected;
use crate::aws::tables::touched;
use crate::error::Error;
use crate::ids::Organization;
use crate::limits::USAGE_TTL;
use crate::quota::{DayUsage, Quota};

impl Records {
    /// Sets an organization's own quota, in place of any other.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_quota(&self, organization: &Organization, quota: Quota) -> Result<(), Error> {
        let fields = [
            ("running", quota.running),
            ("generations_per_day", quota.generations_per_day),
            ("output_bytes_per_day", quota.output_bytes_per_day),
            ("spend_per_day", quota.spend_per_day),
        ];
        let (set, unset): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(_, most)| most.is_some());
        let words = |clause: &str, words: Vec<String>| {
            if words.is_empty() { String::new() } else { format!("{clause} {} ", words.join(", ")) }
        };
        let sets = set.iter().map(|(name, _)| format!("{name} = :{name}")).collect();
        let removes = unset.iter().map(|(name, _)| (*name).to_owned()).collect();
        // Not put: the row has other settings too.
        let update = self.dynamodb.update_item().table_name(&self.table).set_key(Some(Key::Quota(organization).item()));
        let update = update.update_expression(words("SET", sets) + &words("REMOVE", removes));
        let values: HashMap<String, AttributeValue> = set
            .iter()
            .filter_map(|(name, most)| Some((format!(":{name}"), AttributeValue::N(most.as_ref()?.to_string()))))
            .collect();
        let update = update.set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()));
        touched(update.return_consumed_capacity(ReturnConsumedCapacity::Total), &self.meter).await.map(drop)
    }

    /// What an organization has used of a day.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn day_usage(&self, organization: &Organization, day: &str) -> Result<DayUsage, Error> {
        Ok(self.get_row(Key::Usage(organization, day)).await?.unwrap_or_default())
    }

    /// The update that adds `used` to a day, where fewer generations than `generations_per_day` have been counted.
    pub(super) fn count(
        &self,
        organization: &Organization,
        day: &str,
        used: DayUsage,
        generations_per_day: Option<u64>,
    ) -> Result<Update, Error> {
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
            Update::builder().table_name(&self.table).set_key(Some(Key::Usage(organization, day).item())).update_expression(add);
        if let Some(most) = generations_per_day {
            values.insert(":most".to_owned(), number(most));
            update = update.condition_expression("attribute_not_exists(generations) OR generations < :most");
        }
        let update = update.set_expression_attribute_values(Some(values)).build();
        update.map_err(|error| unexpected("dynamodb TransactWriteItems", error))
    }
}
