//! Importers and their versions, as they were published; and the built-in one, which every organization has.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::aws::DocumentHead;
use crate::documents::{DocumentKey, DocumentName, DocumentRef, Noun};
use crate::error::Error;
use crate::ids::Organization;
use crate::importers::{BUILT_IN, Importer, STRATOS_SCENARIO};
use crate::limits::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX};
use crate::verbs::generations::list::page_limit;

/// An importer as lists tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImporterView {
    /// Its name.
    pub name: DocumentName,
    /// Always `importer`.
    #[serde(skip_deserializing, default = "importer")]
    pub object: &'static str,
    /// What people call it.
    pub title: Option<String>,
    /// The number of its newest version; `None`: it is the built-in one.
    pub version: Option<u64>,
    /// SHA-256 in hex of that version's document.
    pub sha256: String,
    /// When its first version was published, RFC 3339.
    pub created_at: Option<String>,
    /// When its newest version was published, RFC 3339.
    pub updated_at: Option<String>,
}

/// A version of an importer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImporterVersionView {
    /// The importer.
    pub name: DocumentName,
    /// Always `importer_version`.
    #[serde(skip_deserializing, default = "importer_version")]
    pub object: &'static str,
    /// Its number, from 1; `None`: it is the built-in one.
    pub version: Option<u64>,
    /// SHA-256 in hex of the document.
    pub sha256: String,
    /// When it was published, RFC 3339.
    pub created_at: Option<String>,
    /// The id of the key by which it was published.
    pub created_by: Option<String>,
    /// The document in its canonical form.
    pub document: Value,
}

/// A page of importers, by name. The first has the built-in one at its head, where the organization has none of its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImporterList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them.
    pub data: Vec<ImporterView>,
    /// Whether there are more.
    pub has_more: bool,
    /// The `after` of the next page.
    pub last_id: Option<DocumentName>,
}

const fn importer() -> &'static str {
    "importer"
}

const fn importer_version() -> &'static str {
    "importer_version"
}

const fn list() -> &'static str {
    "list"
}

/// A version of an importer that is to be used.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::verbs) struct Selected {
    /// The document.
    pub importer: Importer,
    /// The number of the version; `None`: the built-in one.
    pub version: Option<u64>,
    /// SHA-256 in hex of the document.
    pub sha256: String,
    created_at: Option<String>,
    created_by: Option<String>,
}

impl From<DocumentHead> for ImporterView {
    fn from(head: DocumentHead) -> Self {
        Self {
            name: head.name,
            object: importer(),
            title: head.title,
            version: Some(head.current),
            sha256: head.sha256,
            created_at: Some(head.created_at),
            updated_at: Some(head.updated_at),
        }
    }
}

fn built_in() -> Selected {
    let importer = STRATOS_SCENARIO.clone();
    Selected { sha256: importer.sha256(), importer, version: None, created_at: None, created_by: None }
}

impl App {
    /// A version of an importer: the newest, unless the reference names one; without a reference, [`BUILT_IN`].
    ///
    /// # Errors
    /// [`Error::ImporterNotFound`], [`Error::Aws`].
    pub(in crate::verbs) async fn importer(
        &self,
        organization: &Organization,
        reference: Option<&DocumentRef>,
    ) -> Result<Selected, Error> {
        let Some(reference) = reference else {
            let name = BUILT_IN.parse().map_err(|_| Error::ImporterNotFound(BUILT_IN.to_owned()))?;
            return Box::pin(self.importer(organization, Some(&DocumentRef { name, version: None }))).await;
        };
        let key = DocumentKey::new(Noun::Importer, organization.clone(), reference.name.clone());
        let not_found = || Error::ImporterNotFound(reference.to_string());
        let number = match reference.version {
            Some(number) => number,
            None => match self.records.document(&key).await? {
                Some(head) => head.current,
                None if key.name.as_str() == BUILT_IN => return Ok(built_in()),
                None => return Err(not_found()),
            },
        };
        let row = self.records.document_version(&key, number).await?.ok_or_else(not_found)?;
        let unreadable = |error: String| Error::Internal(format!("version {number} of {} cannot be read: {error}", key.name));
        let importer = serde_json::from_str(&row.document).map_err(|error| unreadable(error.to_string()))?;
        let (created_at, created_by) = (Some(row.created_at), row.created_by);
        Ok(Selected { importer, version: Some(number), sha256: row.sha256, created_at, created_by })
    }

    /// A version of an importer as callers see it.
    ///
    /// # Errors
    /// [`Error::ImporterNotFound`], [`Error::Aws`].
    pub async fn importer_view(
        &self,
        organization: &Organization,
        reference: &DocumentRef,
    ) -> Result<ImporterVersionView, Error> {
        let selected = self.importer(organization, Some(reference)).await?;
        let document = serde_json::to_value(&selected.importer).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(ImporterVersionView {
            name: reference.name.clone(),
            object: importer_version(),
            version: selected.version,
            sha256: selected.sha256,
            created_at: selected.created_at,
            created_by: selected.created_by,
            document,
        })
    }

    /// An organization's importers.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: the limit. [`Error::Aws`].
    pub async fn list_importers(
        &self,
        organization: &Organization,
        after: Option<&DocumentName>,
        limit: Option<usize>,
    ) -> Result<ImporterList, Error> {
        let limit = page_limit(limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        let page = self.records.documents(Noun::Importer, organization, after, limit).await?;
        let mut data: Vec<ImporterView> = page.documents.into_iter().map(ImporterView::from).collect();
        let last_id = data.last().map(|importer| importer.name.clone());
        if after.is_none() {
            let selected = self.importer(organization, None).await?;
            if selected.version.is_none() {
                let Selected { importer: built_in, sha256, .. } = selected;
                let (name, title) = (built_in.name, built_in.title);
                let own =
                    ImporterView { name, object: importer(), title, version: None, sha256, created_at: None, updated_at: None };
                data.insert(0, own);
            }
        }
        Ok(ImporterList { object: list(), data, has_more: page.has_more, last_id })
    }
}
