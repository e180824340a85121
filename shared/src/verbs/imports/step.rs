//! The states of an import: each is written under its revision, with its entry in the audit, the attempt that its generation tells of, and
//! what receivers are told.

use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::app::App;
use crate::audit::{Action, Entry, Object, moment};
use crate::aws::{ImportChange, ImportWritten};
use crate::clock::rfc3339;
use crate::error::{Error, Issue};
use crate::ids::{GenerationId, ImportId, SubjectKey};
use crate::importers::Item;
use crate::imports::{Attempt, AttemptResult, Import, ImportState};
use crate::notifications::notify::Notify;
use crate::notifications::subscriptions::Topic;
use crate::notifications::{EventType, Notification};
use crate::retry::{self, BackoffBuilder};
use crate::verbs::importers::Selected;

/// An import that may be written.
#[derive(Debug)]
pub(in crate::verbs) struct PlannedImport {
    /// Its id.
    pub id: ImportId,
    /// The generation.
    pub generation: GenerationId,
    /// The importer.
    pub selected: Selected,
    /// The items of the answer; `None`: the import is complete already.
    pub items: Option<Vec<Item>>,
    /// What cannot be imported.
    pub issues: Vec<Issue>,
}

/// The next state of an import, and what is told of it.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// The state.
    pub state: ImportState,
    /// The result of the attempt; `None`: it is none.
    pub result: Option<AttemptResult>,
    /// What is wrong with the answer.
    pub errors: Vec<Issue>,
    /// Why it broke off.
    pub error: Option<String>,
    /// The report of a complete one.
    pub report: Option<String>,
    /// The event that it is.
    pub event: Option<EventType>,
    /// Why, in the words of who acts.
    pub note: Option<String>,
}

impl Default for Step {
    fn default() -> Self {
        Self { state: ImportState::Started, result: None, errors: Vec::new(), error: None, report: None, event: None, note: None }
    }
}

impl App {
    /// Takes an import to its next state, which follows from the one that it has; `None`: it stays, and is returned.
    pub(super) async fn step_import(
        &self,
        subject: &SubjectKey,
        planned: &PlannedImport,
        next: impl Fn(Option<&Import>) -> Option<Step>,
    ) -> Result<Import, Error> {
        let mut waits = retry::overtaken().build();
        loop {
            let held = self.records.import(subject, &planned.id).await?;
            let Some(step) = next(held.as_ref()) else {
                return held.ok_or_else(|| Error::ImportContended(planned.id.to_string()));
            };
            let at_ms = moment(self.clock.now_ms(), held.as_ref().map(|held| held.updated_at.as_str()));
            let at = rfc3339(at_ms);
            let mut import = match &held {
                Some(held) => held.next(step.state, self.caller_name(), &at),
                None => Import {
                    id: planned.id.clone(),
                    generation: planned.generation.clone(),
                    importer: planned.selected.importer.name.clone(),
                    importer_version: planned.selected.version,
                    state: step.state,
                    revision: 1,
                    by: self.caller_name(),
                    created_at: at.clone(),
                    updated_at: at.clone(),
                    begun_at: at.clone(),
                    report: None,
                },
            };
            import.report.clone_from(&step.report);
            if self.write_step(subject, held.as_ref(), &import, step, at_ms).await? {
                return Ok(import);
            }
            if self.records.subject(subject).await?.is_none_or(|subject| subject.deleting) {
                return Err(Error::SubjectNotFound(subject.subject.to_string()));
            }
            sleep(waits.next().ok_or_else(|| Error::ImportContended(planned.id.to_string()))?).await;
        }
    }

    /// Writes a state of an import. `false`: it has changed since.
    pub(super) async fn write_step(
        &self,
        subject: &SubjectKey,
        held: Option<&Import>,
        import: &Import,
        step: Step,
        at_ms: i64,
    ) -> Result<bool, Error> {
        let object = Object {
            kind: "import",
            id: import.id.as_str(),
            subject: &subject.subject,
            generation: Some(&import.generation),
            revision: import.revision,
        };
        let action = if import.state == ImportState::Reverted { Action::Revert } else { Action::Import };
        let change = Import::audited(held, import, step.result, step.note);
        let entry = Entry::new(&subject.organization, at_ms, &self.actor(), action, &object, change);
        let attempt = step.result.map(|result| Attempt {
            id: entry.id.clone(),
            attempted_by: entry.actor.clone(),
            attempted_at: entry.at.clone(),
            result,
            subject: subject.subject.clone(),
            import_id: Some(import.id.clone()),
            errors: step.errors,
            error: step.error,
        });
        let told = match step.event {
            Some(event) => self.import_told(subject, import, event, at_ms).await?,
            None => None,
        };
        let change = ImportChange {
            from: held.map_or(0, |held| held.revision),
            import,
            entry: &entry,
            attempt: attempt.as_ref(),
            told: told.as_ref(),
        };
        Ok(self.records.change_import(subject, change).await? == ImportWritten::Stored)
    }

    async fn import_told(
        &self,
        subject: &SubjectKey,
        import: &Import,
        event: EventType,
        at_ms: i64,
    ) -> Result<Option<Notification>, Error> {
        if !self.settings(&subject.organization).await?.topics.contains(&Topic::Imports) {
            return Ok(None);
        }
        let report = import.report.as_deref().and_then(|report| serde_json::from_str::<Map<String, Value>>(report).ok());
        let counts = report.into_iter().flatten().map(|(name, entries)| (name, json!(entries.as_array().map_or(0, Vec::len))));
        let data = Map::from_iter([
            ("subject".to_owned(), json!(subject.subject)),
            ("status".to_owned(), json!(import.state)),
            ("generation".to_owned(), json!(import.generation)),
            ("importer".to_owned(), json!(import.importer)),
            ("revision".to_owned(), json!(import.revision)),
            ("counts".to_owned(), Value::Object(counts.collect())),
        ]);
        let (organization, object) = (&subject.organization, (import.id.as_str(), import.revision));
        Ok(Some(Notification::at_revision(organization, event, object, at_ms, data, &Notify::default())))
    }
}
