//! Rows of statistics: one for each organization, day, provider and model.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use serde::{Deserialize, Serialize};

use super::key::{self, Key};
use super::{IS_NEW, Records};
use crate::aws::clients::unexpected;
use crate::aws::tables::{Item, query_page};
use crate::error::Error;
use crate::ids::Organization;
use crate::limits::USAGE_TTL;
use crate::statistics::report::{Grouping, UsageQuery, too_much};
use crate::statistics::{Sums, Tally, TallyKey};

/// Pages of a query, of 1 MB each, about 1,000 rows.
const PAGES_MAX: usize = 20;

/// A row, with what its key says.
#[derive(Serialize, Deserialize)]
struct TallyRow<T> {
    day: String,
    provider: String,
    model: String,
    #[serde(flatten)]
    tally: T,
}

impl Records {
    /// A row of statistics; an empty one where there is none.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn tally(&self, key: &TallyKey) -> Result<Tally, Error> {
        Ok(self.get_row(Key::Statistics(key)).await?.unwrap_or_default())
    }

    /// Writes the next state of a row, in place of the one that was read at the revision before. `false`: it has changed since.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn store_tally(&self, key: &TallyKey, next: &Tally) -> Result<bool, Error> {
        let fields = fields(key, next)?;
        let update = if next.revision <= 1 {
            self.set_in_transaction(Key::Statistics(key), fields, IS_NEW, "", [], [])
        } else {
            let held = AttributeValue::N((next.revision - 1).to_string());
            self.set_in_transaction(Key::Statistics(key), fields, "revision = :held", "", [], [(":held", held)])
        };
        self.update_alone(update?).await
    }

    /// Adds up an organization's rows of the days that `query` asks for, by what it divides them.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: they are too many; [`Error::Aws`].
    pub async fn statistics(&self, organization: &Organization, query: UsageQuery) -> Result<Grouping, Error> {
        // What follows a day in a sort key begins with `#`, and `$` is the character behind that.
        let (first, last) = (format!("{}#", query.from), format!("{}$", query.to));
        let mut grouping = Grouping::new(query);
        let mut start = None;
        for _ in 0..PAGES_MAX {
            let page = self
                .dynamodb
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
                .expression_attribute_values(":pk", AttributeValue::S(key::statistics_of(organization)))
                .expression_attribute_values(":first", AttributeValue::S(first.clone()))
                .expression_attribute_values(":last", AttributeValue::S(last.clone()))
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let page = query_page(page, &self.meter).await?;
            for item in page.items.unwrap_or_default() {
                let row: TallyRow<Sums> = serde_dynamo::from_item(item).map_err(|error| unexpected("dynamodb Query", error))?;
                let TallyRow { day, provider, model, tally } = row;
                grouping.add(TallyKey { organization: organization.clone(), day, provider, model }, &tally)?;
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(grouping);
            }
        }
        Err(too_much())
    }
}

/// A row's attributes beside its key.
fn fields(key: &TallyKey, tally: &Tally) -> Result<Item, Error> {
    let row = TallyRow { day: key.day.clone(), provider: key.provider.clone(), model: key.model.clone(), tally };
    let mut fields: Item = serde_dynamo::to_item(&row).map_err(|error| unexpected("dynamodb UpdateItem", error))?;
    let midnight = format!("{}T00:00:00Z", key.day).parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    let expires_at = midnight + USAGE_TTL.as_secs().cast_signed();
    fields.insert("expires_at".into(), AttributeValue::N(expires_at.to_string()));
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Status;
    use crate::statistics::{EndRecord, Ended, Mark};

    /// An item's size by `DynamoDB`'s rules: names, texts, a number's digits by two and one more, and three of a map and one of its entries.
    fn bytes(item: &Item) -> usize {
        item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
    }

    fn value_bytes(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(number) => number.len().div_ceil(2) + 1,
            AttributeValue::M(entries) => 3 + entries.len() + bytes(entries),
            other => panic!("{other:?}"),
        }
    }

    fn key() -> TallyKey {
        let [day, provider, model] = ["2026-11-21", "openai", "gpt-5-mini-2026-08-07"].map(str::to_owned);
        TallyKey { organization: "acme".parse().unwrap(), day, provider, model }
    }

    fn row_bytes(shards: u64, of_each: u64) -> usize {
        let mut tally = Tally::default();
        for shard in 0..shards {
            let end = |number: u64| {
                // From three seconds to a minute and a half, and a first text from a fifth of a second to four.
                let status = if number.is_multiple_of(50) { Status::Failed } else { Status::Completed };
                let spread = (number * 7_919) % 1_000;
                let (duration_ms, first_text_ms) = (Some(3_000 + spread * 87), Some(200 + spread * 4));
                let ended =
                    Ended { status, duration_ms, first_text_ms, input_tokens: 900, output_tokens: 3_000, cost: Some(31_125) };
                let sequence = format!("{}", 4_421_584_500_000_000_017_450_439_091_u128 + u128::from(number)).parse().unwrap();
                EndRecord { mark: Mark { sequence, at: 1_795_253_400 }, ended }
            };
            let ends: Vec<EndRecord> = (0..of_each).map(end).collect();
            tally = tally.count(&format!("00000001795253{shard:06}-1a2b3c4d"), &ends).unwrap();
        }
        let item = fields(&key(), &tally).unwrap();
        let back: TallyRow<Tally> = serde_dynamo::from_item(item.clone()).unwrap();
        assert_eq!(back.tally, tally);
        bytes(&item) + bytes(&Key::Statistics(&key()).item())
    }

    /// What `longhand cost` assumes of the units that a row costs. A shard is open for about four hours.
    #[test]
    fn rows_have_less_than_two_kilobytes() {
        let (lonely, day) = (row_bytes(1, 1), row_bytes(7, 10_000));
        assert!(lonely < 600, "{lonely}");
        assert!((1_024..2_048).contains(&day), "{day}");
    }
}
