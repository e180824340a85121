//! What an import would make of a generation's answer; and the attempts that come to nothing, which are audited too.

use serde_json::{Map, Value};
use tokio::time::timeout;

use super::step::{PlannedImport, Step};
use crate::app::App;
use crate::audit::{Action, Entry, Object};
use crate::aws::{Blobs, RecordRow};
use crate::documents::DocumentRef;
use crate::error::{Error, Issue};
use crate::generation::Status;
use crate::ids::{AuditId, ImportId, SubjectKey};
use crate::importers::{Importer, Item, answer_of, read};
use crate::imports::{Attempt, AttemptResult, Import, ImportState, Outcome, report};
use crate::json::json_bytes;
use crate::json::schema::Schema;
use crate::limits::{IMPORT_ENTITIES_MAX, IMPORT_ISSUES_MAX, IMPORT_REPORT_BYTES_MAX, JSON_BYTES_MAX, VALIDATION_TIME_MAX};
use crate::pipelines::path::readable;

/// Attempts of one millisecond that are told apart.
const ATTEMPTS_AT_ONCE: usize = 20;

impl App {
    /// Plans the import of a generation's answer for a subject. What comes to nothing is written among its attempts.
    ///
    /// # Errors
    /// [`Error::ImporterNotFound`]; [`Error::ImportsOff`]; [`Error::InvalidAnswer`]; [`Error::LogGone`]: the output was deleted.
    /// [`Error::ImportContended`], [`Error::Aws`].
    pub(in crate::verbs) async fn plan_import(
        &self,
        subject: &SubjectKey,
        record: &RecordRow,
        importer: Option<&DocumentRef>,
    ) -> Result<PlannedImport, Error> {
        let selected = match self.importer(&subject.organization, importer).await {
            Err(error @ Error::ImporterNotFound(_)) => {
                let (result, told) = (AttemptResult::Failed, Some(error.public_detail()));
                self.attempted_alone(subject, record, None, result, Vec::new(), told).await?;
                return Err(error);
            }
            selected => selected?,
        };
        let (organization, name) = (subject.organization.as_str(), &selected.importer.name);
        let id = Import::id_of(organization, &subject.subject, &record.generation, name, &selected.sha256);
        let mut planned = PlannedImport { id, generation: record.generation.clone(), selected, items: None, issues: Vec::new() };
        if !self.config.import_generation {
            self.attempted(subject, record, &planned, ImportState::Skipped, AttemptResult::SkippedFeatureFlag, None).await?;
            return Err(Error::ImportsOff);
        }
        if self.records.import(subject, &planned.id).await?.is_some_and(|held| held.state == ImportState::Completed) {
            return Ok(planned);
        }
        let answer = match self.answer(record, &planned.selected.importer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => {
                let result = AttemptResult::ValidationError;
                self.attempted(subject, record, &planned, ImportState::Invalid, result, Some(why.clone())).await?;
                return Err(Error::InvalidAnswer(vec![Issue::new("", why)]));
            }
            Err(error @ Error::LogGone(_)) => {
                let (result, told) = (AttemptResult::Failed, Some(error.public_detail()));
                self.attempted(subject, record, &planned, ImportState::Invalid, result, told).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let (items, mut issues) = self.read_answer(&planned.selected.importer, subject, &answer).await;
        let too_large = too_large(&planned.selected.importer, &items);
        let is_refused = too_large.is_some() || self.config.validate_llm_response && !issues.is_empty();
        issues.splice(0..0, too_large);
        issues.truncate(IMPORT_ISSUES_MAX);
        (planned.items, planned.issues) = (Some(items), issues);
        if is_refused {
            self.attempted(subject, record, &planned, ImportState::Invalid, AttemptResult::ValidationFailed, None).await?;
            return Err(Error::InvalidAnswer(planned.issues));
        }
        Ok(planned)
    }

    /// The report that an import would have, as if there were no entities, and what is wrong with the answer.
    pub(in crate::verbs) async fn rehearse_import(
        &self,
        subject: &SubjectKey,
        record: &RecordRow,
        importer: &Importer,
    ) -> Result<(Map<String, Value>, Vec<Issue>), Error> {
        if record.outcome.is_none() || record.status != Status::Completed {
            let status = if record.outcome.is_some() { record.status.as_str() } else { "not ended" };
            return Err(Error::NotCompleted(record.generation.to_string(), status));
        }
        let invalid = |why| Error::InvalidAnswer(vec![Issue::new("", why)]);
        let answer = self.answer(record, importer).await?.map_err(invalid)?;
        let (items, mut issues) = self.read_answer(importer, subject, &answer).await;
        issues.splice(0..0, too_large(importer, &items));
        issues.truncate(IMPORT_ISSUES_MAX);
        let (first, mut seen) = (items.len().min(IMPORT_ENTITIES_MAX), std::collections::BTreeSet::new());
        let outcome = |_: usize, item: &Item| if seen.insert(item.id.clone()) { Outcome::Created } else { Outcome::Found };
        let Value::Object(report) = report(importer, &items[..first], outcome, &issues) else {
            return Err(Error::Internal("a report is an object".to_owned()));
        };
        Ok((report, issues))
    }

    /// The answer in a generation's output, or why there is none.
    async fn answer(&self, record: &RecordRow, importer: &Importer) -> Result<Result<Value, String>, Error> {
        let bytes = record.outcome.as_ref().map_or(0, |outcome| outcome.bytes);
        if bytes > JSON_BYTES_MAX as u64 {
            return Ok(Err(format!("the output has {bytes} bytes; at most {JSON_BYTES_MAX} are imported")));
        }
        let stored = self.blobs.get(&Blobs::output_key(&record.key())).await?;
        let stored = stored.ok_or_else(|| Error::LogGone(record.generation.to_string()))?;
        let Ok(text) = String::from_utf8(stored) else { return Ok(Err("the output is not UTF-8".to_owned())) };
        Ok(answer_of(importer, &text))
    }

    /// The items of an answer, and what is wrong with it: first by the importer's schema, then by its collections.
    async fn read_answer(&self, importer: &Importer, subject: &SubjectKey, answer: &Value) -> (Vec<Item>, Vec<Issue>) {
        let mut issues = match &importer.schema {
            Some(schema) => schema_issues(schema.clone(), answer.clone()).await,
            None => Vec::new(),
        };
        let reading = read(importer, subject, answer);
        issues.extend(reading.issues);
        (reading.items, issues)
    }

    /// Writes an attempt that comes to nothing: where the subject is there, as a state of the import.
    async fn attempted(
        &self,
        subject: &SubjectKey,
        record: &RecordRow,
        planned: &PlannedImport,
        state: ImportState,
        result: AttemptResult,
        error: Option<String>,
    ) -> Result<(), Error> {
        let errors = if result == AttemptResult::ValidationFailed { planned.issues.clone() } else { Vec::new() };
        if self.records.subject(subject).await?.is_none_or(|subject| subject.deleting) {
            return self.attempted_alone(subject, record, Some(planned.id.clone()), result, errors, error).await;
        }
        let step = Step { state, result: Some(result), errors, error, ..Step::default() };
        self.step_import(subject, planned, |held| match held {
            // What has made entities stays as it is, whatever becomes of a later attempt: it can be gone on with, or reverted.
            Some(held) if !matches!(held.state, ImportState::Skipped | ImportState::Invalid) => {
                Some(Step { state: held.state, report: held.report.clone(), ..step.clone() })
            }
            _ => Some(step.clone()),
        })
        .await
        .map(|_| ())
    }

    /// Writes an attempt of which no import tells: there is no such importer, or no subject that has imports.
    async fn attempted_alone(
        &self,
        subject: &SubjectKey,
        record: &RecordRow,
        import: Option<ImportId>,
        result: AttemptResult,
        errors: Vec<Issue>,
        error: Option<String>,
    ) -> Result<(), Error> {
        let (key, mut at_ms) = (record.key(), self.clock.now_ms());
        let id = key.generation.as_str();
        let generation = Some(&key.generation);
        let object = Object { kind: "generation", id, subject: &subject.subject, generation, revision: 0 };
        let mut attempt = Attempt {
            id: AuditId::first_at(0),
            attempted_by: self.caller_name(),
            attempted_at: String::new(),
            result,
            subject: subject.subject.clone(),
            import_id: import,
            errors,
            error,
        };
        for _ in 0..ATTEMPTS_AT_ONCE {
            let change = Import::audited_attempt(attempt.import_id.as_ref(), result);
            let entry = Entry::new(&key.organization, at_ms, &self.actor(), Action::Import, &object, change);
            (attempt.id, attempt.attempted_at) = (entry.id.clone(), entry.at.clone());
            if self.records.add_attempt(&key, &attempt, &entry).await? {
                return Ok(());
            }
            // Another was made in this millisecond.
            at_ms += 1;
        }
        Err(Error::ImportContended(id.to_owned()))
    }
}

/// A blocking thread cannot be stopped: after the timeout it still runs.
async fn schema_issues(schema: Value, answer: Value) -> Vec<Issue> {
    let check = tokio::task::spawn_blocking(move || match Schema::compile(&schema) {
        Ok(schema) => schema.errors(&answer),
        Err(wrong) => wrong,
    });
    match timeout(VALIDATION_TIME_MAX, check).await {
        Ok(Ok(errors)) => {
            errors.into_iter().map(|error| Issue::new(readable(&error.pointer), capitalized(&error.detail))).collect()
        }
        _ => vec![Issue::new("", "Could not be checked against the schema in time")],
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| format!("{}{}", first.to_uppercase(), letters.as_str())).unwrap_or_default()
}

/// What is wrong where there is too much to import.
fn too_large(importer: &Importer, items: &[Item]) -> Option<Issue> {
    if items.len() > IMPORT_ENTITIES_MAX {
        return Some(Issue::new("", format!("Too many entities (max {IMPORT_ENTITIES_MAX})")));
    }
    let bytes = json_bytes(&report(importer, items, |_, _| Outcome::Kept, &[]));
    let told =
        || format!("Too long: names and ids of all entities have {bytes} bytes as a report (max {IMPORT_REPORT_BYTES_MAX})");
    (bytes > IMPORT_REPORT_BYTES_MAX as u64).then(|| Issue::new("", told()))
}
