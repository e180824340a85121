//! Pipelines and their versions, as they were published.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::aws::{DocumentHead, DocumentVersionRow};
use crate::documents::{DocumentKey, Noun};
use crate::error::Error;
use crate::ids::Organization;
use crate::limits::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, PIPELINES_KEPT_MAX};
use crate::pipelines::{Document, Pipeline, PipelineName, PipelineRef};
use crate::verbs::generations::list::page_limit;

/// A pipeline as lists tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineView {
    /// Its name.
    pub name: PipelineName,
    /// Always `pipeline`.
    #[serde(skip_deserializing, default = "pipeline")]
    pub object: &'static str,
    /// What people call it.
    pub title: Option<String>,
    /// The number of its newest version.
    pub version: u64,
    /// SHA-256 in hex of that version's document.
    pub sha256: String,
    /// The number of its steps.
    pub steps: u32,
    /// When its first version was published, RFC 3339.
    pub created_at: String,
    /// When its newest version was published, RFC 3339.
    pub updated_at: String,
}

/// A version of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineVersionView {
    /// The pipeline.
    pub name: PipelineName,
    /// Always `pipeline_version`.
    #[serde(skip_deserializing, default = "pipeline_version")]
    pub object: &'static str,
    /// Its number, from 1.
    pub version: u64,
    /// SHA-256 in hex of the document.
    pub sha256: String,
    /// When it was published, RFC 3339.
    pub created_at: String,
    /// The id of the key by which it was published.
    pub created_by: Option<String>,
    /// The document in its canonical form.
    pub document: Value,
}

/// A page of pipelines, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them.
    pub data: Vec<PipelineView>,
    /// Whether there are more.
    pub has_more: bool,
    /// The `after` of the next page.
    pub last_id: Option<PipelineName>,
}

const fn pipeline() -> &'static str {
    "pipeline"
}

const fn pipeline_version() -> &'static str {
    "pipeline_version"
}

const fn list() -> &'static str {
    "list"
}

impl From<DocumentHead> for PipelineView {
    fn from(head: DocumentHead) -> Self {
        Self {
            name: head.name,
            object: pipeline(),
            title: head.title,
            version: head.current,
            sha256: head.sha256,
            steps: head.steps.unwrap_or_default(),
            created_at: head.created_at,
            updated_at: head.updated_at,
        }
    }
}

impl App {
    /// A version of a pipeline: the newest, unless the reference names one. What was read once is kept in memory, because it never changes.
    ///
    /// # Errors
    /// [`Error::PipelineNotFound`], [`Error::Aws`].
    pub async fn pipeline(&self, organization: &Organization, reference: &PipelineRef) -> Result<Arc<Pipeline>, Error> {
        let key = DocumentKey::new(Noun::Pipeline, organization.clone(), reference.name.clone());
        let not_found = || Error::PipelineNotFound(reference.to_string());
        let number = match reference.version {
            Some(number) => number,
            None => self.records.document(&key).await?.ok_or_else(not_found)?.current,
        };
        let place = (key, number);
        if let Some(held) = self.pipelines.lock().await.get(&place) {
            return Ok(Arc::clone(held));
        }
        let row = self.records.document_version(&place.0, number).await?.ok_or_else(not_found)?;
        let read = Arc::new(read(&place.0.name, row)?);
        let mut kept = self.pipelines.lock().await;
        if kept.len() >= PIPELINES_KEPT_MAX {
            kept.clear();
        }
        kept.insert(place, Arc::clone(&read));
        Ok(read)
    }

    /// The same as callers see it.
    ///
    /// # Errors
    /// As [`Self::pipeline`].
    pub async fn pipeline_view(
        &self,
        organization: &Organization,
        reference: &PipelineRef,
    ) -> Result<PipelineVersionView, Error> {
        let pipeline = self.pipeline(organization, reference).await?;
        let document = serde_json::to_value(&pipeline.document).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(PipelineVersionView {
            name: pipeline.name.clone(),
            object: pipeline_version(),
            version: pipeline.version,
            sha256: pipeline.sha256.clone(),
            created_at: pipeline.created_at.clone(),
            created_by: pipeline.created_by.clone(),
            document,
        })
    }

    /// An organization's pipelines.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: the limit. [`Error::Aws`].
    pub async fn list_pipelines(
        &self,
        organization: &Organization,
        after: Option<&PipelineName>,
        limit: Option<usize>,
    ) -> Result<PipelineList, Error> {
        let limit = page_limit(limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        let page = self.records.documents(Noun::Pipeline, organization, after, limit).await?;
        let data: Vec<PipelineView> = page.documents.into_iter().map(PipelineView::from).collect();
        let last_id = data.last().map(|pipeline| pipeline.name.clone());
        Ok(PipelineList { object: list(), data, has_more: page.has_more, last_id })
    }
}

/// The version that a row holds.
pub(super) fn read(name: &PipelineName, row: DocumentVersionRow) -> Result<Pipeline, Error> {
    let document = Document::from_canonical(row.document.as_bytes());
    let mut document =
        document.map_err(|error| Error::Internal(format!("version {} of {name} cannot be read: {error}", row.number)))?;
    document.version = row.number;
    Ok(Pipeline {
        name: name.clone(),
        version: row.number,
        sha256: row.sha256,
        created_at: row.created_at,
        created_by: row.created_by,
        document,
    })
}
