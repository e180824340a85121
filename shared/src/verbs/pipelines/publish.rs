//! Publishing: a document becomes the next version of its pipeline, unless it is the newest one already.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::read::PipelineView;
use crate::app::App;
use crate::documents::{DocumentKey, Noun};
use crate::error::{Error, FieldError};
use crate::ids::Organization;
use crate::limits::REHEARSAL_BYTES_MAX;
use crate::pipelines::{Document, InputErrors, PipelineName, PipelineRef, Rehearsal, Violation};
use crate::verbs::documents::NewVersion;

/// A pipeline that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// It, with its newest version.
    pub pipeline: PipelineView,
    /// Whether the version is new; it is not where the document is that of the newest version already.
    pub is_new: bool,
}

/// What publishing would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineCheck {
    /// Always `pipeline_check`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The pipeline.
    pub name: PipelineName,
    /// The number that the version would have.
    pub version: u64,
    /// Whether that would be a new version.
    pub is_new: bool,
    /// SHA-256 in hex of the document.
    pub sha256: String,
    /// The ids of its steps.
    pub steps: Vec<String>,
    /// Its requests for the sample input.
    pub rehearsal: Option<Rehearsal>,
    /// What is wrong with the sample input.
    pub input_errors: Option<InputErrors>,
}

const fn object() -> &'static str {
    "pipeline_check"
}

impl App {
    /// Publishes a document as the next version of the pipeline of this name. Versions never change, and their numbers have no gaps.
    ///
    /// # Errors
    /// [`Error::InvalidPipeline`] with every violation; [`Error::DocumentContended`], [`Error::Aws`].
    pub async fn publish_pipeline(
        &self,
        organization: &Organization,
        name: &PipelineName,
        document: &Value,
    ) -> Result<Published, Error> {
        let document = self.read_document(organization, name, document).await?;
        let key = DocumentKey::new(Noun::Pipeline, organization.clone(), name.clone());
        let canonical = String::from_utf8(document.canonical()).map_err(|error| Error::Internal(error.to_string()))?;
        let sha256 = document.sha256();
        let steps = u32::try_from(document.steps.len()).unwrap_or(u32::MAX);
        let new = NewVersion { document: canonical, sha256, title: document.title, steps: Some(steps) };
        let (head, is_new) = self.publish_document(&key, new).await?;
        Ok(Published { pipeline: head.into(), is_new })
    }

    /// What publishing would do, and the requests that the steps would make for a sample input. Nothing is stored.
    ///
    /// # Errors
    /// [`Error::InvalidPipeline`] with every violation; [`Error::Aws`].
    pub async fn check_pipeline(
        &self,
        organization: &Organization,
        name: &PipelineName,
        document: &Value,
        sample: Option<Value>,
        outputs: &Map<String, Value>,
    ) -> Result<PipelineCheck, Error> {
        let document = self.read_document(organization, name, document).await?;
        let held = self.records.document(&DocumentKey::new(Noun::Pipeline, organization.clone(), name.clone())).await?;
        let sha256 = document.sha256();
        let is_new = held.as_ref().is_none_or(|held| held.sha256 != sha256);
        let (rehearsal, input_errors) = match sample.map(|sample| document.rehearse(sample, outputs)) {
            None => (None, None),
            Some(Ok(rehearsal)) => (Some(rehearsal.bounded(REHEARSAL_BYTES_MAX)), None),
            Some(Err(errors)) => (None, Some(errors)),
        };
        Ok(PipelineCheck {
            object: object(),
            name: name.clone(),
            version: held.map_or(0, |held| held.current) + u64::from(is_new),
            is_new,
            sha256,
            steps: document.steps.into_iter().map(|step| step.id).collect(),
            rehearsal,
            input_errors,
        })
    }

    /// The document in its canonical form, with the pipelines that it uses.
    async fn read_document(&self, organization: &Organization, name: &PipelineName, document: &Value) -> Result<Document, Error> {
        let used = document.get("steps").and_then(Value::as_array).into_iter().flatten();
        let used: BTreeSet<&str> = used.filter_map(|step| step.get("use").and_then(Value::as_str)).collect();
        let mut parts = BTreeMap::new();
        for reference in used {
            let Ok(parsed) = reference.parse::<PipelineRef>() else { continue };
            match self.pipeline(organization, &parsed).await {
                Ok(part) => drop(parts.insert(reference, part)),
                // Told among the violations.
                Err(Error::PipelineNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let parsed = Document::from_value(document, |reference| parts.get(reference).map(|part| part.document.clone()));
        let mut violations = Vec::new();
        if document.get("name").and_then(Value::as_str).is_some_and(|given| given != name.as_str()) {
            violations.push(Violation::new("/name", format!("must be `{name}`, as in the path")));
        }
        match &parsed {
            Ok(parsed) => violations.extend(parsed.check_deployment(&self.config.request_rules(), &self.config.prices)),
            Err(found) => violations.extend(found.iter().cloned()),
        }
        match parsed {
            Ok(parsed) if violations.is_empty() => Ok(parsed),
            _ => Err(Error::InvalidPipeline(violations.into_iter().map(FieldError::from).collect())),
        }
    }
}
