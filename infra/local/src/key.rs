//! The keys of a data folder, created on its first start: the API key of local commands, the signing key of read tokens, and the
//! access key of the embedded services.

use std::path::Path;

use anyhow::{Context, Result};
use longhand::{ApiKey, App, NewKey, Organization, Scopes};
use serde::{Deserialize, Serialize};

use crate::folder;

const FILE: &str = "key";
/// The file of the key that signs read tokens.
pub const TOKEN_KEY_FILE: &str = "token-key";
/// The file of the key from which the secrets of webhook endpoints are derived.
pub const WEBHOOK_KEY_FILE: &str = "webhook-key";
const AWS_KEY_FILE: &str = "aws-key.json";

/// The key in a file of the data folder. It is stored, so that what it signed remains valid after a restart.
///
/// # Errors
/// The key cannot be created or stored.
pub fn signing_key(data: &Path, file: &str) -> Result<String> {
    let path = data.join(file);
    if let Some(stored) = std::fs::read_to_string(&path).ok().filter(|stored| !stored.is_empty()) {
        return Ok(stored);
    }
    // The hash of a random API key that is never issued.
    let key = ApiKey::generate()?.sha256();
    folder::write_secret(&path, key.as_bytes())?;
    Ok(key)
}

/// An access key of the embedded services.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AwsKey {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: String,
}

/// The access key of the services. It is stored, so that URLs that were presigned before a restart remain valid.
///
/// # Errors
/// The key cannot be created or stored.
pub fn aws_key(data: &Path) -> Result<AwsKey> {
    let path = data.join(AWS_KEY_FILE);
    let stored = std::fs::read(&path).ok().and_then(|stored| serde_json::from_slice(&stored).ok());
    if let Some(stored) = stored {
        return Ok(stored);
    }
    // The hashes of random API keys that are never issued.
    let (id, secret) = (ApiKey::generate()?.sha256(), ApiKey::generate()?.sha256());
    let key = AwsKey { id: format!("LONGHAND{}", id[..12].to_uppercase()), secret };
    folder::write_secret(&path, &serde_json::to_vec(&key)?)?;
    Ok(key)
}

/// The key in `data` if it is valid for `organization`, or else a new one; and whether it is new.
///
/// # Errors
/// The key cannot be created or stored.
pub async fn local_key(app: &App, data: &Path, organization: &str) -> Result<(String, bool)> {
    let organization: Organization = organization.parse().context("the organization")?;
    let path = data.join(FILE);
    if let Ok(stored) = std::fs::read_to_string(&path) {
        let stored = stored.trim().to_owned();
        if app.authorize(&stored).await?.is_some_and(|grant| grant.organization == organization) {
            return Ok((stored, false));
        }
    }
    let new = NewKey { name: "this machine".to_owned(), scopes: Scopes::all(), expires_in: None };
    let (_, key) = app.create_key(&organization, new).await?;
    folder::write_secret(&path, key.reveal().as_bytes())?;
    Ok((key.reveal().to_owned(), true))
}
