//! Published documents, pipelines and importers, and their versions.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use serde::{Deserialize, Serialize};

use super::key::{self, BY_ORGANIZATION, Key};
use super::transactions::{IntoItem, Transacted};
use super::{IS_NEW, Records};
use crate::aws::clients::unexpected;
use crate::aws::tables::{Item, query_page};
use crate::documents::{DocumentKey, DocumentName, Noun};
use crate::error::Error;
use crate::ids::Organization;

/// The newest version of a document, and what lists tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentHead {
    /// Partition key of [`BY_ORGANIZATION`].
    organization: String,
    /// Its name: sort key of [`BY_ORGANIZATION`].
    #[serde(rename = "generation")]
    pub name: DocumentName,
    /// The number of its newest version.
    pub current: u64,
    /// SHA-256 in hex of that version's document.
    pub sha256: String,
    /// What people call it.
    #[serde(default)]
    pub title: Option<String>,
    /// The number of a pipeline's steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// When its first version was published, RFC 3339.
    pub created_at: String,
    /// When its newest version was published, RFC 3339.
    pub updated_at: String,
}

/// A version of a document, which never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentVersionRow {
    /// Its number, from 1.
    pub number: u64,
    /// SHA-256 in hex of the document.
    pub sha256: String,
    /// The document in its canonical form: JSON text.
    pub document: String,
    /// When it was published, RFC 3339.
    pub created_at: String,
    /// The API key by which it was published; `None`: `longhand dev` was, without one.
    #[serde(default)]
    pub created_by: Option<String>,
}

/// A page of documents.
#[derive(Debug, Default)]
pub struct DocumentPage {
    /// Them, by name.
    pub documents: Vec<DocumentHead>,
    /// Whether there are more.
    pub has_more: bool,
}

#[derive(Deserialize)]
struct KeyOnly {
    generation: DocumentName,
}

impl DocumentHead {
    /// The head of a document with this newest version.
    #[must_use]
    pub fn new(
        key: &DocumentKey,
        version: &DocumentVersionRow,
        title: Option<String>,
        steps: Option<u32>,
        created_at: String,
    ) -> Self {
        Self {
            organization: key::documents_of(key.noun, &key.organization),
            name: key.name.clone(),
            current: version.number,
            sha256: version.sha256.clone(),
            title,
            steps,
            created_at,
            updated_at: version.created_at.clone(),
        }
    }
}

impl Records {
    /// The head of a document.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn document(&self, key: &DocumentKey) -> Result<Option<DocumentHead>, Error> {
        self.get_row(Key::Document(key)).await
    }

    /// A version of a document.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn document_version(&self, key: &DocumentKey, number: u64) -> Result<Option<DocumentVersionRow>, Error> {
        self.get_row(Key::DocumentVersion(key, number)).await
    }

    /// Stores a version and the head that names it, where the newest version is still the one before. `false`: it is not.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn add_document_version(
        &self,
        key: &DocumentKey,
        head: &DocumentHead,
        version: &DocumentVersionRow,
    ) -> Result<bool, Error> {
        let is_first = version.number == 1;
        let condition = if is_first { IS_NEW } else { "#current = :before" };
        let mut put = self.put_in_transaction(Key::Document(key), head, Some(condition))?;
        if !is_first {
            put.expression_attribute_names = Some([("#current".to_owned(), "current".to_owned())].into());
            let before = AttributeValue::N((version.number - 1).to_string());
            put.expression_attribute_values = Some([(":before".to_owned(), before)].into());
        }
        let version = self.put_in_transaction(Key::DocumentVersion(key, version.number), version, Some(IS_NEW))?;
        Ok(self.transact(vec![put.into_item(), version.into_item()]).await? == Transacted::Done)
    }

    /// An organization's documents of a noun by name, those behind `after` if it is given.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn documents(
        &self,
        noun: Noun,
        organization: &Organization,
        after: Option<&DocumentName>,
        limit: usize,
    ) -> Result<DocumentPage, Error> {
        let query = self.dynamodb.query().table_name(&self.table).index_name(BY_ORGANIZATION);
        let query = query
            .key_condition_expression("organization = :organization AND generation > :after")
            .expression_attribute_values(":organization", AttributeValue::S(key::documents_of(noun, organization)))
            // Every name begins with a letter, and DynamoDB takes no empty text.
            .expression_attribute_values(":after", AttributeValue::S(after.map_or_else(|| " ".to_owned(), ToString::to_string)))
            .limit(i32::try_from(limit + 1).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page = query_page(query, &self.meter).await?;
        let read = |item: &Item| serde_dynamo::from_item(item.clone()).map(|KeyOnly { generation }| generation);
        let names: Result<Vec<DocumentName>, _> = page.items().iter().map(read).collect();
        let mut names = names.map_err(|error| unexpected("dynamodb Query", error))?;
        let has_more = names.len() > limit;
        names.truncate(limit);
        let keys: Vec<DocumentKey> = names.into_iter().map(|name| DocumentKey::new(noun, organization.clone(), name)).collect();
        let rows = self.get_items(keys.iter().map(|key| Key::Document(key).item()).collect()).await?;
        let mut documents: Vec<DocumentHead> =
            serde_dynamo::from_items(rows).map_err(|error| unexpected("dynamodb BatchGetItem", error))?;
        documents.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(DocumentPage { documents, has_more })
    }
}
