//! Imports: what became of an answer when somebody had it imported. One for each subject, generation and version of an importer, however
//! often it is asked for. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::audit;
use crate::documents::DocumentName;
use crate::error::Issue;
use crate::ids::{AuditId, GenerationId, ImportId, SubjectId};
use crate::importers::{Importer, Item};

/// What an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// It was asked for while imports were off.
    Skipped,
    /// The answer did not pass validation, or was gone.
    Invalid,
    /// It has begun, and has not ended. The same request goes on with it.
    Started,
    /// Every entity of it is there.
    Completed,
    /// It broke off. The same request goes on with it.
    Failed,
    /// It was completed, and what had not been decided was taken back.
    Reverted,
}

/// The result of an attempt, in the field's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// Imports are off.
    SkippedFeatureFlag,
    /// The answer did not pass validation.
    ValidationFailed,
    /// The answer could not be validated.
    ValidationError,
    /// It has begun.
    Started,
    /// It is complete.
    Success,
    /// It broke off.
    Failed,
}

/// An import, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its id.
    pub id: ImportId,
    /// The generation.
    pub generation: GenerationId,
    /// The importer's name.
    pub importer: DocumentName,
    /// The importer's version; `None`: the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importer_version: Option<u64>,
    /// What it is.
    pub state: ImportState,
    /// Counts its changes, from 1.
    pub revision: u64,
    /// The id of the API key that asked for it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it was first asked for, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// When it began to make entities, last, RFC 3339: a revert ends that, and the next import begins anew.
    #[serde(default)]
    pub begun_at: String,
    /// The report, once it is complete: a JSON object as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
}

/// An import as callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportView {
    /// Its id.
    pub id: ImportId,
    /// Always `import`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The subject.
    pub subject: SubjectId,
    /// The generation.
    pub generation: GenerationId,
    /// The importer's name.
    pub importer: DocumentName,
    /// The importer's version; `None`: the built-in one.
    pub importer_version: Option<u64>,
    /// What it is.
    pub state: ImportState,
    /// Counts its changes, from 1.
    pub revision: u64,
    /// The id of the API key that asked for it last.
    pub by: Option<String>,
    /// When it was first asked for, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// The report, once it is complete: of each collection its entities, and `errors`.
    pub report: Option<Map<String, Value>>,
}

const fn object() -> &'static str {
    "import"
}

/// An attempt to import a generation, as the generation tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The id of the entry in the audit.
    pub id: AuditId,
    /// The id of the API key; `None`: the credential was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted_by: Option<String>,
    /// When, RFC 3339.
    pub attempted_at: String,
    /// What became of it.
    pub result: AttemptResult,
    /// The subject.
    pub subject: SubjectId,
    /// The import; `None`: there is no such importer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_id: Option<ImportId>,
    /// What is wrong with the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Issue>,
    /// Why it broke off, or could not be validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The import has made the entity.
    Created,
    /// The entity was there.
    Found,
    /// The entity was there, and stays as it is, because somebody has decided or edited it.
    Kept,
}

impl Import {
    /// The id of the import of a generation for a subject by a version of an importer, which has this hash.
    #[must_use]
    pub fn id_of(
        organization: &str,
        subject: &SubjectId,
        generation: &GenerationId,
        importer: &DocumentName,
        sha256: &str,
    ) -> ImportId {
        ImportId::of(&[organization, subject.as_str(), generation.as_str(), importer.as_str(), sha256])
    }

    /// It with its next state.
    #[must_use]
    pub fn next(&self, state: ImportState, by: Option<String>, at: &str) -> Self {
        let goes_on = matches!(self.state, ImportState::Started | ImportState::Failed) || state != ImportState::Started;
        let begun_at = if goes_on { self.begun_at.clone() } else { at.to_owned() };
        Self { state, by, revision: self.revision + 1, updated_at: at.to_owned(), begun_at, ..self.clone() }
    }

    /// What the audit tells of an attempt that has changed no import.
    #[must_use]
    pub fn audited_attempt(import: Option<&ImportId>, result: AttemptResult) -> audit::Change {
        let mut after = Map::from_iter([("result".to_owned(), json!(result))]);
        after.extend(import.map(|import| ("import".to_owned(), json!(import))));
        audit::Change { after, ..audit::Change::default() }
    }

    /// What the audit tells of its change from `before`: how many entities there are, and not which.
    #[must_use]
    pub fn audited(before: Option<&Self>, after: &Self, result: Option<AttemptResult>, note: Option<String>) -> audit::Change {
        let told = |import: &Self| Map::from_iter([("state".to_owned(), json!(import.state))]);
        let mut change = audit::Change { before: before.map(told).unwrap_or_default(), after: told(after), note };
        change.after.insert("importer".to_owned(), json!(after.importer));
        if let Some(result) = result {
            change.after.insert("result".to_owned(), json!(result));
        }
        if let Some(report) = after.report.as_deref().and_then(|report| serde_json::from_str::<Map<String, Value>>(report).ok()) {
            let counts = report.iter().map(|(name, entries)| (name.clone(), json!(entries.as_array().map_or(0, Vec::len))));
            change.after.insert("counts".to_owned(), Value::Object(counts.collect()));
        }
        change
    }

    /// It as callers see it.
    #[must_use]
    pub fn view(self, subject: &SubjectId) -> ImportView {
        ImportView {
            id: self.id,
            object: "import",
            subject: subject.clone(),
            generation: self.generation,
            importer: self.importer,
            importer_version: self.importer_version,
            state: self.state,
            revision: self.revision,
            by: self.by,
            created_at: self.created_at,
            updated_at: self.updated_at,
            report: self.report.and_then(|report| serde_json::from_str(&report).ok()),
        }
    }
}

/// The report of an import: under each collection its items with `id`, `name`, `created` and `llm_id`, in the order of the answer, and
/// `kept` where the entity stays as it was; under `errors` what could not be imported.
#[must_use]
pub fn report(importer: &Importer, items: &[Item], mut outcome: impl FnMut(usize, &Item) -> Outcome, issues: &[Issue]) -> Value {
    let mut report: Map<String, Value> = importer.names().into_iter().map(|name| (name.to_owned(), json!([]))).collect();
    for (place, item) in items.iter().enumerate() {
        let outcome = outcome(place, item);
        let mut entry =
            json!({ "id": item.id, "name": item.name, "created": outcome == Outcome::Created, "llm_id": item.llm_id });
        if outcome == Outcome::Kept {
            entry["kept"] = json!(true);
        }
        if let Some(Value::Array(entries)) = report.get_mut(&item.collection) {
            entries.push(entry);
        }
    }
    report.insert("errors".to_owned(), json!(issues));
    Value::Object(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SubjectKey;
    use crate::importers::{STRATOS_SCENARIO, read};

    #[test]
    fn report_has_every_collection_in_the_fields_form() {
        let answer = json!({
            "scenario_metadata": { "name": "S" },
            "capabilities": [{ "id": "c1", "name": "C", "competencies": [{ "name": "A", "skills": ["s", {}] }] }],
        });
        let subject = SubjectKey::new("acme".parse().unwrap(), "s".parse().unwrap());
        let reading = read(&STRATOS_SCENARIO, &subject, &answer);
        let outcomes = [Outcome::Created, Outcome::Found, Outcome::Kept];
        let report = report(&STRATOS_SCENARIO, &reading.items, |place, _| outcomes[place], &reading.issues);
        let ids: Vec<_> = reading.items.iter().map(|item| item.id.clone()).collect();
        let expected = json!({
            "capabilities": [{ "id": ids[0], "name": "C", "created": true, "llm_id": "c1" }],
            "competencies": [{ "id": ids[1], "name": "A", "created": false, "llm_id": null }],
            "skills": [{ "id": ids[2], "name": "s", "created": false, "llm_id": null, "kept": true }],
            "roles": [],
            "errors": [{ "path": "capabilities[0].competencies[0].skills[1].name", "message": "Name is required" }],
        });
        assert_eq!(report, expected);
    }
}
