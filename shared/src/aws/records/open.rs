//! The sparse index of generations that have not ended: `by_open`.
//!
//! Its partition is a shard that follows from the organization, and its sort key begins with the organization: one query counts
//! an organization's running generations, and a few queries read all that are open. It is eventually consistent.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, Select};

use super::Records;
use super::imports::OpenImport;
use super::key::{self, BY_OPEN, IMPORTS};
use super::listing::generations;
use crate::aws::tables::{query_all, query_page};
use crate::error::Error;
use crate::ids::{BatchKey, GenerationKey, Organization, RunKey, SubjectKey};

/// What has not ended, beside generations.
#[derive(Debug, Default)]
pub struct OpenJobs {
    /// Batches.
    pub batches: Vec<BatchKey>,
    /// Runs.
    pub runs: Vec<RunKey>,
    /// Imports.
    pub imports: Vec<OpenImport>,
}

impl FromIterator<Self> for OpenJobs {
    fn from_iter<I: IntoIterator<Item = Self>>(shards: I) -> Self {
        shards.into_iter().fold(Self::default(), |mut all, shard| {
            all.batches.extend(shard.batches);
            all.runs.extend(shard.runs);
            all.imports.extend(shard.imports);
            all
        })
    }
}

impl Records {
    /// How many of an organization's generations have not ended, counted up to `enough`. Costs half a read unit for each 4 KB of
    /// keys, which are about 30 generations.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn running(&self, organization: &Organization, enough: u64) -> Result<u64, Error> {
        let query = self
            .query_open(key::open_shard(organization), "#open = :shard AND begins_with(open_at, :organization)")
            .expression_attribute_values(":organization", AttributeValue::S(key::prefix(organization)))
            .select(Select::Count);
        let (mut running, mut from) = (0, None);
        while running < enough {
            let limit = i32::try_from(enough - running).unwrap_or(i32::MAX);
            let page = query_page(query.clone().limit(limit).set_exclusive_start_key(from), &self.meter).await?;
            running += u64::try_from(page.count()).unwrap_or(0);
            from = page.last_evaluated_key;
            if from.is_none() {
                break;
            }
        }
        Ok(running)
    }

    /// The generations of one shard that have not ended, oldest first within each organization.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn open(&self, shard: u8) -> Result<Vec<GenerationKey>, Error> {
        let items = query_all(self.query_open(shard.to_string(), "#open = :shard"), &self.meter).await?;
        Ok(generations(&items).collect())
    }

    /// The batches, runs and imports of one shard that have not ended.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn open_jobs(&self, shard: u8) -> Result<OpenJobs, Error> {
        let items = query_all(self.query_open(key::job_shard_name(&shard.to_string()), "#open = :shard"), &self.meter).await?;
        let partitions = || items.iter().filter_map(|item| item.get("pk")?.as_s().ok());
        let batches = partitions().filter_map(|partition| BatchKey::from_partition(partition).ok());
        let runs = partitions().filter_map(|partition| RunKey::from_partition(partition).ok());
        let imports = items.iter().filter_map(|item| {
            let subject = SubjectKey::from_partition(item.get("pk")?.as_s().ok()?).ok()?;
            let import = item.get("sk")?.as_s().ok()?.strip_prefix(IMPORTS)?.parse().ok()?;
            Some(OpenImport { subject, import })
        });
        Ok(OpenJobs { batches: batches.collect(), runs: runs.collect(), imports: imports.collect() })
    }

    fn query_open(&self, shard: String, condition: &str) -> QueryFluentBuilder {
        let query = self.dynamodb.query().table_name(&self.table).index_name(BY_OPEN).key_condition_expression(condition);
        let query = query.expression_attribute_names("#open", "open");
        let query = query.expression_attribute_values(":shard", AttributeValue::S(shard));
        query.return_consumed_capacity(ReturnConsumedCapacity::Total)
    }
}
