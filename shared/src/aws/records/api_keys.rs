//! API keys in the records table: a row under the organization, for lists; and one by the key's hash, for whoever shows it.
//!
//! Both are written in one transaction, so that what is listed is what holds.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use serde::{Deserialize, Serialize};

use super::transactions::Transacted;
use super::{Records, row_key};
use crate::access::scope::Scopes;
use crate::aws::clients::{aws_error, query_partition, unexpected};
use crate::error::Error;
use crate::ids::{KeyId, Organization};

/// Sort key of the row by hash.
const BY_HASH: &str = "key";

/// A key as its organization sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    pub(in crate::aws) pk: String,
    /// The key's id.
    #[serde(rename = "sk")]
    pub id: KeyId,
    /// What a person calls it.
    pub name: String,
    /// SHA-256 of the key, in hex.
    pub sha256: String,
    /// What it may do.
    pub scopes: Scopes,
    /// RFC 3339.
    pub created_at: String,
    /// Until when it is good, in milliseconds. Not `expires_at`, by which DynamoDB would delete the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<i64>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

impl KeyRow {
    /// A new key of `organization`.
    #[must_use]
    pub fn new(
        organization: &Organization,
        id: KeyId,
        name: String,
        sha256: String,
        scopes: Scopes,
        created_at: String,
        valid_until: Option<i64>,
    ) -> Self {
        Self { pk: partition(organization), id, name, sha256, scopes, created_at, valid_until, revoked_at: None }
    }
}

/// What a key's hash leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHashRow {
    pub(in crate::aws) pk: String,
    pub(in crate::aws) sk: String,
    /// Whose key it is.
    pub organization: Organization,
    /// Its id.
    pub id: KeyId,
    /// What it may do.
    pub scopes: Scopes,
    /// As in [`KeyRow`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<i64>,
    /// As in [`KeyRow`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

impl Records {
    /// Stores a new key.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_key(&self, organization: &Organization, row: &KeyRow) -> Result<(), Error> {
        let by_hash = KeyHashRow {
            pk: hash_partition(&row.sha256),
            sk: BY_HASH.into(),
            organization: organization.clone(),
            id: row.id.clone(),
            scopes: row.scopes.clone(),
            valid_until: row.valid_until,
            revoked_at: None,
        };
        match self.transact(vec![self.put_of_new(row)?, self.put_of_new(&by_hash)?]).await? {
            Transacted::Done => Ok(()),
            Transacted::Refused(_) => Err(unexpected("dynamodb TransactWriteItems", "a key of this id or hash is there already")),
        }
    }

    /// The key with this hash, good or not.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn key_by_hash(&self, sha256: &str) -> Result<Option<KeyHashRow>, Error> {
        self.get_row(&hash_partition(sha256), BY_HASH).await
    }

    /// A key.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn key(&self, organization: &Organization, id: &KeyId) -> Result<Option<KeyRow>, Error> {
        self.get_row(&partition(organization), id.as_str()).await
    }

    /// Every key of an organization, oldest first.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn keys(&self, organization: &Organization) -> Result<Vec<KeyRow>, Error> {
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let query = query_partition(&self.dynamodb, &self.table, partition(organization)).set_exclusive_start_key(start);
            let page = query.send().await.map_err(aws_error("dynamodb Query"))?;
            self.meter.read(page.consumed_capacity());
            for item in page.items.unwrap_or_default() {
                rows.push(serde_dynamo::from_item(item).map_err(|error| unexpected("dynamodb Query", error))?);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Revokes a key for good. `false`: it was revoked before.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn revoke_key(&self, row: &KeyRow, now: &str) -> Result<bool, Error> {
        let keys = [row_key(&row.pk, row.id.as_str()), row_key(&hash_partition(&row.sha256), BY_HASH)];
        let mut updates = Vec::with_capacity(keys.len());
        for key in keys {
            let update = Update::builder()
                .table_name(&self.table)
                .set_key(Some(key))
                .update_expression("SET revoked_at = :now")
                .condition_expression("attribute_exists(pk) AND attribute_not_exists(revoked_at)")
                .expression_attribute_values(":now", AttributeValue::S(now.to_owned()))
                .build()
                .map_err(|error| unexpected("dynamodb TransactWriteItems", error))?;
            updates.push(TransactWriteItem::builder().update(update).build());
        }
        Ok(self.transact(updates).await? == Transacted::Done)
    }
}

fn partition(organization: &Organization) -> String {
    format!("{organization}#keys")
}

/// It begins with what no organization's name can: no key of another row is like it.
fn hash_partition(sha256: &str) -> String {
    format!("#key#{sha256}")
}
