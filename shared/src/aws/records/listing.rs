//! What lies where, for retention: read by operators, never by a function.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};

use super::rows;
use super::{Records, partitions};
use crate::aws::blobs::Blobs;
use crate::aws::clients::aws_error;
use crate::error::Error;
use crate::ids::{GenerationId, GenerationKey, Organization};

/// What lies in the bucket under one organization's name.
#[derive(Debug, Default)]
pub struct Stored {
    /// Generations that have objects, in order.
    pub generations: BTreeSet<GenerationId>,
    /// Keys that are not this product's.
    pub foreign: Vec<String>,
}

impl Blobs {
    /// The organizations that have objects.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn organizations(&self) -> Result<BTreeSet<Organization>, Error> {
        let mut pages = self.s3.list_objects_v2().bucket(&self.bucket).delimiter("/").into_paginator().send();
        let mut found = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_error("s3 ListObjectsV2"))?;
            let names = page.common_prefixes().iter().filter_map(|prefix| prefix.prefix()?.trim_end_matches('/').parse().ok());
            found.extend(names);
        }
        Ok(found)
    }

    /// What an organization has in the bucket.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn stored(&self, organization: &Organization) -> Result<Stored, Error> {
        let prefix = format!("{organization}/");
        let mut pages = self.s3.list_objects_v2().bucket(&self.bucket).prefix(&prefix).into_paginator().send();
        let mut stored = Stored::default();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_error("s3 ListObjectsV2"))?;
            for key in page.contents().iter().filter_map(|object| object.key()) {
                let id = key.strip_prefix(&prefix).and_then(|rest| rest.split_once('/'));
                match id.and_then(|(id, _)| id.parse().ok()) {
                    Some(id) => drop(stored.generations.insert(id)),
                    None => stored.foreign.push(key.to_owned()),
                }
            }
        }
        Ok(stored)
    }
}

impl Records {
    /// An organization's generations from before `before`, oldest first, up to `limit`, from behind `after` on.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn older(
        &self,
        organization: &Organization,
        after: Option<&GenerationId>,
        before: &GenerationId,
        limit: i32,
    ) -> Result<Vec<GenerationId>, Error> {
        // Both bounds are taken in, and are no generations of the page.
        let from = after.map_or_else(|| GenerationId::first_at(0), Clone::clone);
        let query = self
            .dynamodb
            .query()
            .table_name(&self.table)
            .index_name(crate::aws::INDEXES[0])
            .key_condition_expression("organization = :organization AND generation BETWEEN :from AND :before")
            .expression_attribute_values(":organization", AttributeValue::S(organization.to_string()))
            .expression_attribute_values(":from", AttributeValue::S(from.to_string()))
            .expression_attribute_values(":before", AttributeValue::S(before.to_string()))
            .limit(limit)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page = query.send().await.map_err(aws_error("dynamodb Query"))?;
        self.meter.read(page.consumed_capacity());
        let keys = partitions(page.items()).into_iter().filter_map(|pk| GenerationKey::from_partition(&pk).ok());
        Ok(keys.map(|key| key.generation).filter(|id| Some(id) != after && id != before).collect())
    }

    /// Generations of an organization that have a request or a validation issue. Reads the whole table.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn with_rows(&self, organization: &Organization) -> Result<BTreeSet<GenerationId>, Error> {
        let mut pages = self
            .dynamodb
            .scan()
            .table_name(&self.table)
            .filter_expression("begins_with(pk, :organization) AND (sk = :request OR begins_with(sk, :issue))")
            .expression_attribute_values(":organization", AttributeValue::S(format!("{organization}#")))
            .expression_attribute_values(":request", AttributeValue::S(rows::REQUEST.into()))
            .expression_attribute_values(":issue", AttributeValue::S("issue#".into()))
            .projection_expression("pk, sk")
            .into_paginator()
            .send();
        let mut found = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_error("dynamodb Scan"))?;
            let keys = partitions(page.items()).into_iter().filter_map(|pk| GenerationKey::from_partition(&pk).ok());
            found.extend(keys.map(|key| key.generation));
        }
        Ok(found)
    }
}
