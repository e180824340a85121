//! The sparse index of what has not ended: `by_open`.
//!
//! Its partition is a shard that follows from the organization, its sort key `{organization}#{created_at}`: so one query
//! counts what an organization has running, and a few read all that is open. It is eventually consistent.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, Select};

use super::{Records, partitions};
use crate::aws::clients::aws_error;
use crate::error::Error;
use crate::ids::{GenerationKey, Organization};
use crate::limits;

/// The index.
pub(in crate::aws) const BY_OPEN: &str = crate::aws::INDEXES[1];

impl Records {
    /// How many of an organization's generations have not ended, counted up to `enough`. Costs half a read unit per some
    /// 4 KB of keys, which are about 30 generations.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn running(&self, organization: &Organization, enough: u64) -> Result<u64, Error> {
        let (mut running, mut from) = (0, None);
        while running < enough {
            let query = self
                .query_open()
                .key_condition_expression("#open = :shard AND begins_with(open_at, :organization)")
                .expression_attribute_values(":shard", AttributeValue::S(shard(organization)))
                .expression_attribute_values(":organization", AttributeValue::S(format!("{organization}#")))
                .select(Select::Count)
                .limit(i32::try_from(enough - running).unwrap_or(i32::MAX))
                .set_exclusive_start_key(from);
            let page = query.send().await.map_err(aws_error("dynamodb Query"))?;
            self.meter.read(page.consumed_capacity());
            running += u64::try_from(page.count()).unwrap_or(0);
            from = page.last_evaluated_key;
            if from.is_none() {
                break;
            }
        }
        Ok(running)
    }

    /// The generations of one shard that have not ended.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn open(&self, shard: u8) -> Result<Vec<GenerationKey>, Error> {
        let (mut open, mut from) = (Vec::new(), None);
        loop {
            let query = self
                .query_open()
                .key_condition_expression("#open = :shard")
                .expression_attribute_values(":shard", AttributeValue::S(shard.to_string()))
                .set_exclusive_start_key(from);
            let page = query.send().await.map_err(aws_error("dynamodb Query"))?;
            self.meter.read(page.consumed_capacity());
            open.extend(partitions(page.items()).iter().filter_map(|pk| GenerationKey::from_partition(pk).ok()));
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(open);
            }
        }
    }

    fn query_open(&self) -> QueryFluentBuilder {
        let query = self.dynamodb.query().table_name(&self.table).index_name(BY_OPEN);
        query.expression_attribute_names("#open", "open").return_consumed_capacity(ReturnConsumedCapacity::Total)
    }
}

/// The shard of an organization, by FNV-1a. It is stored: another function would need the index written anew.
pub(in crate::aws) fn shard(organization: &Organization) -> String {
    let hash = organization
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash % u64::from(limits::OPEN_SHARDS)).to_string()
}

/// The sort key of a generation in the index.
pub(in crate::aws) fn open_at(organization: &Organization, created_at: &str) -> String {
    format!("{organization}#{created_at}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organizations_shard_stays_what_it_was_and_organizations_spread_over_all() {
        let shard_of = |name: &str| shard(&name.parse().unwrap());
        assert_eq!([shard_of("local"), shard_of("acme"), shard_of("000000000000")], ["0", "7", "5"]);
        let mut used: Vec<String> = (0..100).map(|number| shard_of(&format!("organization-{number}"))).collect();
        used.sort();
        used.dedup();
        assert_eq!(used.len(), usize::from(limits::OPEN_SHARDS));
    }
}
