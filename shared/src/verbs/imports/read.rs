//! Imports as callers see them, and the attempts that a generation tells of.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::app::App;
use crate::error::{Error, Issue};
use crate::ids::{AuditId, GenerationId, GenerationKey, ImportId, SubjectId, SubjectKey};
use crate::imports::{Attempt, AttemptResult, ImportState, ImportView};
use crate::limits::{ENTITY_LIST_BYTES_MAX, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX};
use crate::verbs::generations::list::page_limit;

/// A page of a subject's imports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them, without their reports.
    pub data: Vec<ImportView>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page.
    pub last_id: Option<ImportId>,
}

/// A page of the attempts to import a generation, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportAttempts {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// The generation.
    pub generation: GenerationId,
    /// Them. A page ends behind some megabytes of reports.
    pub data: Vec<AttemptView>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page.
    pub last_id: Option<AuditId>,
}

/// An attempt as callers see it: in the field's form, with the subject and the import.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttemptView {
    /// The id of the entry in the audit.
    pub id: AuditId,
    /// The id of the API key.
    pub attempted_by: Option<String>,
    /// When, RFC 3339.
    pub attempted_at: String,
    /// Always `true`.
    pub import: bool,
    /// What became of it.
    pub result: AttemptResult,
    /// What is wrong with the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Issue>,
    /// Why it broke off, or could not be validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The report of a success, while the import is there and not reverted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Map<String, Value>>,
    /// The subject.
    pub subject: SubjectId,
    /// The import; `None`: there is no such importer.
    pub import_id: Option<ImportId>,
}

const fn list() -> &'static str {
    "list"
}

impl AttemptView {
    fn new(attempt: Attempt, report: Option<Map<String, Value>>) -> Self {
        Self {
            id: attempt.id,
            attempted_by: attempt.attempted_by,
            attempted_at: attempt.attempted_at,
            import: true,
            result: attempt.result,
            errors: attempt.errors,
            error: attempt.error,
            report,
            subject: attempt.subject,
            import_id: attempt.import_id,
        }
    }
}

impl App {
    /// An import, with its report.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::ImportNotFound`], [`Error::Aws`].
    pub async fn import(&self, key: &SubjectKey, id: &ImportId) -> Result<ImportView, Error> {
        self.known_subject(key).await?;
        Ok(self.known_import(key, id).await?.view(&key.subject))
    }

    /// A page of a subject's imports.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`]; [`Error::InvalidRequest`]: the limit. [`Error::Aws`].
    pub async fn list_imports(
        &self,
        key: &SubjectKey,
        after: Option<&ImportId>,
        limit: Option<usize>,
    ) -> Result<ImportList, Error> {
        let limit = page_limit(limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        self.known_subject(key).await?;
        let (imports, has_more) = self.records.imports(key, after, limit).await?;
        let last_id = imports.last().map(|import| import.id.clone());
        let data = imports.into_iter().map(|import| ImportView { report: None, ..import.view(&key.subject) }).collect();
        Ok(ImportList { object: list(), data, has_more, last_id })
    }

    /// A page of the attempts to import a generation.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidRequest`]: the limit. [`Error::Aws`].
    pub async fn import_attempts(
        &self,
        key: &GenerationKey,
        after: Option<&AuditId>,
        limit: Option<usize>,
    ) -> Result<ImportAttempts, Error> {
        let limit = page_limit(limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        self.records.get(key).await?;
        let (attempts, has_more) = self.records.import_attempts(key, after, limit).await?;
        let (generation, data) = (key.generation.clone(), Vec::with_capacity(attempts.len()));
        let mut page = ImportAttempts { object: list(), generation, data, has_more, last_id: None };
        let mut bytes = 0;
        for attempt in attempts {
            if bytes > ENTITY_LIST_BYTES_MAX {
                page.has_more = true;
                break;
            }
            let report = self.report_of(key, &attempt).await?;
            bytes += report.as_ref().map_or(0, String::len);
            let report = report.and_then(|report| serde_json::from_str(&report).ok());
            page.last_id = Some(attempt.id.clone());
            page.data.push(AttemptView::new(attempt, report));
        }
        Ok(page)
    }

    /// The report of an attempt that was a success, while its import is complete.
    async fn report_of(&self, key: &GenerationKey, attempt: &Attempt) -> Result<Option<String>, Error> {
        let Some(id) = attempt.import_id.as_ref().filter(|_| attempt.result == AttemptResult::Success) else { return Ok(None) };
        let subject = SubjectKey::new(key.organization.clone(), attempt.subject.clone());
        let import = self.records.import(&subject, id).await?;
        Ok(import.filter(|import| import.state == ImportState::Completed).and_then(|import| import.report))
    }
}
