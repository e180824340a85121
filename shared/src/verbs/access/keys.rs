//! `keys`: operators create, list and revoke API keys. No route leads here.

use std::time::Duration;

use serde::Serialize;

use crate::access::api_key::ApiKey;
use crate::access::scope::Scopes;
use crate::app::App;
use crate::aws::KeyRow;
use crate::clock::{millis, rfc3339};
use crate::error::{Error, FieldError};
use crate::ids::{KeyId, Organization};
use crate::limits::KEY_NAME_CHARS_MAX;

/// The properties of a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// A name for people: at most 64 characters, without control characters.
    pub name: String,
    /// What it may do; at least one.
    pub scopes: Scopes,
    /// For how long it is valid, at least 1 s; `None`: until it is revoked.
    pub expires_in: Option<Duration>,
}

/// A key as it is listed: without the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// Its id.
    pub id: KeyId,
    /// Always `key`.
    pub object: &'static str,
    /// Its name.
    pub name: String,
    /// Its organization.
    pub organization: Organization,
    /// What it may do.
    pub scopes: Scopes,
    /// RFC 3339.
    pub created_at: String,
    /// When it expires, RFC 3339; `None`: never.
    pub expires_at: Option<String>,
    /// RFC 3339.
    pub revoked_at: Option<String>,
    /// Whether it is valid now.
    pub is_good: bool,
}

impl App {
    /// Creates a key. Only its hash is stored, so the key is returned this once.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] names every invalid field of `new`; [`Error::Configuration`]; [`Error::Aws`].
    pub async fn create_key(&self, organization: &Organization, new: NewKey) -> Result<(KeyView, ApiKey), Error> {
        let mut invalid = Vec::new();
        if new.name.chars().count() > KEY_NAME_CHARS_MAX || new.name.chars().any(char::is_control) {
            let expected = format!("must have at most {KEY_NAME_CHARS_MAX} characters, and no control characters");
            invalid.push(FieldError::new("name", expected));
        }
        if new.scopes.is_empty() {
            invalid.push(FieldError::new("scopes", "must name at least one of start, read, review and admin"));
        }
        if new.expires_in.is_some_and(|expires_in| expires_in < Duration::from_secs(1)) {
            invalid.push(FieldError::new("expires_in", "must be at least one second"));
        }
        if !invalid.is_empty() {
            return Err(Error::InvalidRequest(invalid));
        }
        let (key, now) = (ApiKey::generate()?, self.clock.now_ms());
        let valid_until = new.expires_in.map(|expires_in| now.saturating_add(millis(expires_in)));
        let (id, sha256) = (KeyId::new(now), key.sha256());
        let NewKey { name, scopes, .. } = new;
        let row = KeyRow { id, name, sha256, scopes, created_at: rfc3339(now), valid_until, revoked_at: None };
        self.records.put_key(organization, &row).await?;
        tracing::info!(key = %row.id, %organization, scopes = %row.scopes, "An API key was created.");
        Ok((KeyView::new(organization, row, now), key))
    }

    /// Every key of an organization, oldest first, expired and revoked ones included.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn list_keys(&self, organization: &Organization) -> Result<Vec<KeyView>, Error> {
        let (rows, now) = (self.records.keys(organization).await?, self.clock.now_ms());
        Ok(rows.into_iter().map(|row| KeyView::new(organization, row, now)).collect())
    }

    /// Revokes a key for good. API Gateway may accept it for as long as it caches the authorizer's answers. Revoking it again
    /// returns the same.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::Aws`].
    pub async fn revoke_key(&self, organization: &Organization, id: &KeyId) -> Result<KeyView, Error> {
        let find = async || {
            let found = self.records.key(organization, id).await?;
            found.ok_or_else(|| Error::KeyNotFound(id.to_string()))
        };
        let now = self.clock.now_ms();
        if self.records.revoke_key(organization, &find().await?, &rfc3339(now)).await? {
            tracing::info!(key = %id, %organization, "An API key was revoked.");
        }
        Ok(KeyView::new(organization, find().await?, now))
    }
}

impl KeyView {
    fn new(organization: &Organization, row: KeyRow, now_ms: i64) -> Self {
        let is_good = row.revoked_at.is_none() && row.valid_until.is_none_or(|until| now_ms < until);
        Self {
            id: row.id,
            object: "key",
            name: row.name,
            organization: organization.clone(),
            scopes: row.scopes,
            created_at: row.created_at,
            expires_at: row.valid_until.map(rfc3339),
            revoked_at: row.revoked_at,
            is_good,
        }
    }
}
