//! Publishing: a document becomes the next version of its importer; and the check before it: what would become of a generation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::read::ImporterView;
use crate::app::App;
use crate::documents::{DocumentKey, DocumentName, Noun};
use crate::error::{Error, FieldError, Issue};
use crate::ids::{GenerationKey, Organization, SubjectId, SubjectKey};
use crate::importers::Importer;
use crate::json::json_bytes;
use crate::limits::IMPORTER_BYTES_MAX;
use crate::verbs::documents::NewVersion;

/// An importer that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedImporter {
    /// It, with its newest version.
    pub importer: ImporterView,
    /// Whether the version is new; it is not where the document is that of the newest version already.
    pub is_new: bool,
}

/// What publishing would do, and what would become of a generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImporterCheck {
    /// Always `importer_check`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The importer.
    pub name: DocumentName,
    /// The number that the version would have.
    pub version: u64,
    /// Whether that would be a new version.
    pub is_new: bool,
    /// SHA-256 in hex of the document.
    pub sha256: String,
    /// The names of its collections.
    pub collections: Vec<String>,
    /// The report that an import of the generation would have, as if the subject had no entities; `None`: none is named.
    pub report: Option<Map<String, Value>>,
    /// What is wrong with the generation's answer.
    pub issues: Option<Vec<Issue>>,
}

const fn object() -> &'static str {
    "importer_check"
}

fn parse(name: &DocumentName, document: &Value) -> Result<Importer, Error> {
    let mut violations = Vec::new();
    if document.get("name").and_then(Value::as_str).is_some_and(|given| given != name.as_str()) {
        violations.push(FieldError::new("/name", format!("must be `{name}`, as in the path")));
    }
    if json_bytes(document) > IMPORTER_BYTES_MAX as u64 {
        violations.push(FieldError::new("", format!("must have at most {IMPORTER_BYTES_MAX} bytes as JSON")));
        return Err(Error::InvalidImporter(violations));
    }
    match Importer::from_value(document) {
        Ok(importer) if violations.is_empty() => Ok(importer),
        Ok(_) => Err(Error::InvalidImporter(violations)),
        Err(found) => {
            violations.extend(found);
            Err(Error::InvalidImporter(violations))
        }
    }
}

impl App {
    /// Publishes a document as the next version of the importer of this name. Versions never change, and their numbers have no gaps.
    ///
    /// # Errors
    /// [`Error::InvalidImporter`] with every violation; [`Error::DocumentContended`], [`Error::Aws`].
    pub async fn publish_importer(
        &self,
        organization: &Organization,
        name: &DocumentName,
        document: &Value,
    ) -> Result<PublishedImporter, Error> {
        let importer = parse(name, document)?;
        let key = DocumentKey::new(Noun::Importer, organization.clone(), name.clone());
        let (canonical, sha256) = (importer.canonical(), importer.sha256());
        let new = NewVersion { document: canonical, sha256, title: importer.title, steps: None };
        let (head, is_new) = self.publish_document(&key, new).await?;
        Ok(PublishedImporter { importer: head.into(), is_new })
    }

    /// What publishing would do, and what would become of a generation. Nothing is stored.
    ///
    /// # Errors
    /// [`Error::InvalidImporter`] with every violation; [`Error::NotFound`], [`Error::NotCompleted`]: the generation.
    /// [`Error::InvalidAnswer`]: its answer is no JSON object. [`Error::Aws`].
    pub async fn check_importer(
        &self,
        organization: &Organization,
        name: &DocumentName,
        document: &Value,
        generation: Option<&GenerationKey>,
        subject: Option<SubjectId>,
    ) -> Result<ImporterCheck, Error> {
        let importer = parse(name, document)?;
        let held = self.records.document(&DocumentKey::new(Noun::Importer, organization.clone(), name.clone())).await?;
        let sha256 = importer.sha256();
        let is_new = held.as_ref().is_none_or(|held| held.sha256 != sha256);
        let (report, issues) = match generation {
            None => (None, None),
            Some(generation) => {
                let record = self.records.get(generation).await?;
                let about = subject.or_else(|| record.subject.clone());
                let none = || Error::invalid("/subject", "must be given, because the generation is about none");
                let subject = SubjectKey::new(organization.clone(), about.ok_or_else(none)?);
                let (report, issues) = self.rehearse_import(&subject, &record, &importer).await?;
                (Some(report), Some(issues))
            }
        };
        Ok(ImporterCheck {
            object: object(),
            name: name.clone(),
            version: held.map_or(0, |held| held.current) + u64::from(is_new),
            is_new,
            sha256,
            collections: importer.names().into_iter().map(str::to_owned).collect(),
            report,
            issues,
        })
    }
}
