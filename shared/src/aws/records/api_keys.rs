//! API keys: a row under the organization, for lists, and one by the key's hash, for `authorize`.
//!
//! Both are written in one transaction, so that lists and `authorize` agree.

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use serde::{Deserialize, Serialize};

use super::key::{self, Key};
use super::transactions::{IntoItem, Transacted};
use super::{IS_NEW, Records};
use crate::access::scope::Scopes;
use crate::aws::clients::unexpected;
use crate::aws::tables::{query_all, query_partition};
use crate::error::Error;
use crate::ids::{KeyId, Organization};

/// A key as its organization sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// The key's id, which is the sort key.
    #[serde(rename = "sk")]
    pub id: KeyId,
    /// The name that a person gave it.
    pub name: String,
    /// SHA-256 of the key, in hex.
    pub sha256: String,
    /// What it may do.
    pub scopes: Scopes,
    /// RFC 3339.
    pub created_at: String,
    /// When it expires, in milliseconds since the epoch. Not called `expires_at`, because DynamoDB deletes rows by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<i64>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

/// What a key's hash leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHashRow {
    /// The key's organization.
    pub organization: Organization,
    /// The key's id.
    pub id: KeyId,
    /// The name that a person gave it; empty in rows of older versions.
    #[serde(default)]
    pub name: String,
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
            organization: organization.clone(),
            id: row.id.clone(),
            name: row.name.clone(),
            scopes: row.scopes.clone(),
            valid_until: row.valid_until,
            revoked_at: None,
        };
        let items = vec![
            self.put_in_transaction(Key::ApiKey(organization, &row.id), row, Some(IS_NEW))?.into_item(),
            self.put_in_transaction(Key::ApiKeyHash(&row.sha256), &by_hash, Some(IS_NEW))?.into_item(),
        ];
        match self.transact(items).await? {
            Transacted::Done => Ok(()),
            Transacted::Refused(_) => Err(unexpected("dynamodb TransactWriteItems", "a key with this id or hash exists")),
        }
    }

    /// The key with this hash, be it valid or not.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn key_by_hash(&self, sha256: &str) -> Result<Option<KeyHashRow>, Error> {
        self.get_row(Key::ApiKeyHash(sha256)).await
    }

    /// A key.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn key(&self, organization: &Organization, id: &KeyId) -> Result<Option<KeyRow>, Error> {
        self.get_row(Key::ApiKey(organization, id)).await
    }

    /// Every key of an organization, oldest first.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn keys(&self, organization: &Organization) -> Result<Vec<KeyRow>, Error> {
        let query = query_partition(&self.dynamodb, &self.table, key::api_keys(organization));
        let items = query_all(query, &self.meter).await?;
        serde_dynamo::from_items(items).map_err(|error| unexpected("dynamodb Query", error))
    }

    /// Revokes a key for good. `false`: it was revoked before.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn revoke_key(&self, organization: &Organization, row: &KeyRow, now: &str) -> Result<bool, Error> {
        let mark = |key: Key<'_>| {
            let update = Update::builder()
                .table_name(&self.table)
                .set_key(Some(key.item()))
                .update_expression("SET revoked_at = :now")
                .condition_expression("attribute_exists(pk) AND attribute_not_exists(revoked_at)")
                .expression_attribute_values(":now", AttributeValue::S(now.to_owned()))
                .build();
            update.map(Update::into_item).map_err(|error| unexpected("dynamodb TransactWriteItems", error))
        };
        let items = vec![mark(Key::ApiKey(organization, &row.id))?, mark(Key::ApiKeyHash(&row.sha256))?];
        Ok(self.transact(items).await? == Transacted::Done)
    }
}
