//! The key that the commands of this machine use: made on a data folder's first start, kept beside the data.

use std::path::Path;

use anyhow::{Context, Result};
use longhand::{ApiKey, App, NewKey, Organization, Scopes};

use crate::folder;

const FILE: &str = "key";
const TOKEN_KEY_FILE: &str = "token-key";

/// The key that read tokens are signed with: made on the first start, so that tokens outlive a restart.
///
/// # Errors
/// It cannot be made or kept.
pub fn of_tokens(data: &Path) -> Result<String> {
    let path = data.join(TOKEN_KEY_FILE);
    if let Some(kept) = std::fs::read_to_string(&path).ok().filter(|kept| !kept.is_empty()) {
        return Ok(kept);
    }
    // An API key is as random as any, and this one opens nothing.
    let key = ApiKey::generate()?.sha256();
    folder::write_secret(&path, key.as_bytes())?;
    Ok(key)
}

/// The key in `data` if it is good for `organization`, else a new one, and whether it is new.
///
/// # Errors
/// The key cannot be made or kept.
pub async fn own(app: &App, data: &Path, organization: &str) -> Result<(String, bool)> {
    let organization: Organization = organization.parse().context("the organization")?;
    let path = data.join(FILE);
    if let Ok(kept) = std::fs::read_to_string(&path) {
        let kept = kept.trim().to_owned();
        if app.authorize(&kept).await?.is_some_and(|grant| grant.organization == organization) {
            return Ok((kept, false));
        }
    }
    let new = NewKey { name: "this machine".to_owned(), scopes: Scopes::all(), expires_in: None };
    let (_, key) = app.create_key(&organization, new).await?;
    folder::write_secret(&path, key.reveal().as_bytes())?;
    Ok((key.reveal().to_owned(), true))
}
