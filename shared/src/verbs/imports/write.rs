//! Writing an import: its states, and its entities.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::plan::PlannedImport;
use crate::app::App;
use crate::audit::{Action, Entry, Object, moment};
use crate::aws::{ENTITIES_AT_ONCE, EntitiesWritten, EntityChange, ImportChange, ImportWritten};
use crate::clock::{millis_of, rfc3339};
use crate::entities::{Entity, Imported};
use crate::error::{Error, Issue};
use crate::ids::{EntityId, SubjectKey};
use crate::importers::Item;
use crate::imports::{Attempt, AttemptResult, Import, ImportState, ImportView, Outcome, report};
use crate::notifications::notify::Notify;
use crate::notifications::subscriptions::Topic;
use crate::notifications::{EventType, Notification};
use crate::retry::{self, BackoffBuilder};

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
    /// Whether the subject must be there.
    pub needs_subject: bool,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            state: ImportState::Started,
            result: None,
            errors: Vec::new(),
            error: None,
            report: None,
            event: None,
            note: None,
            needs_subject: true,
        }
    }
}

impl App {
    /// Writes a planned import, or goes on with it; one that is complete is returned as it is. `None`: it was complete when it was planned,
    /// and is not any more.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::ImportContended`], [`Error::EntityContended`], [`Error::Aws`]: the same request goes on.
    pub(in crate::verbs) async fn import_generation(
        &self,
        subject: &SubjectKey,
        planned: PlannedImport,
    ) -> Result<Option<ImportView>, Error> {
        let begin = Step { result: Some(AttemptResult::Started), ..Step::default() };
        let unless_complete = |held: Option<&Import>, step: &Step| {
            (held.map(|held| held.state) != Some(ImportState::Completed)).then(|| step.clone())
        };
        let Some(items) = &planned.items else {
            let held = self.records.import(subject, &planned.id).await?;
            let held = held.filter(|held| held.state == ImportState::Completed);
            return Ok(held.map(|held| held.view(&subject.subject)));
        };
        let import = self.step_import(subject, &planned, |held| unless_complete(held, &begin)).await?;
        if import.state == ImportState::Completed {
            return Ok(Some(import.view(&subject.subject)));
        }
        let outcomes = match self.write_entities(subject, &import, items).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.broke_off(subject, &planned, &error).await;
                return Err(error);
            }
        };
        let outcome = |place: usize, _: &Item| outcomes.get(place).copied().unwrap_or(Outcome::Found);
        let report = report(&planned.selected.importer, items, outcome, &planned.issues);
        let end = Step {
            state: ImportState::Completed,
            result: Some(AttemptResult::Success),
            report: Some(report.to_string()),
            event: Some(EventType::ImportCompleted),
            ..Step::default()
        };
        let ended = self.step_import(subject, &planned, |held| unless_complete(held, &end)).await?;
        tracing::info!(
            import = %ended.id, generation = %planned.generation, organization = %subject.organization, subject = %subject.subject,
            entities = items.len(), "A generation was imported."
        );
        Ok(Some(ended.view(&subject.subject)))
    }

    /// Notes that an import broke off for a reason that is not the store's, which could not take the note either.
    async fn broke_off(&self, subject: &SubjectKey, planned: &PlannedImport, error: &Error) {
        if matches!(error, Error::Aws { .. } | Error::SubjectNotFound(_)) {
            return;
        }
        let failed = Step {
            state: ImportState::Failed,
            result: Some(AttemptResult::Failed),
            error: Some(error.public_detail()),
            ..Step::default()
        };
        let noted = self
            .step_import(subject, planned, |held| {
                held.is_some_and(|held| held.state == ImportState::Started).then(|| failed.clone())
            })
            .await;
        if let Err(error) = noted {
            tracing::warn!(import = %planned.id, %error, "That an import broke off could not be noted.");
        }
    }

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
                    report: None,
                },
            };
            import.report.clone_from(&step.report);
            if self.write_step(subject, held.as_ref(), &import, step, at_ms).await? {
                return Ok(import);
            }
            if self.records.subject(subject).await?.is_some_and(|subject| subject.deleting) {
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
            import_id: import.id.clone(),
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
            needs_subject: step.needs_subject,
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

    /// Writes the entities of an import that are missing or differ, and returns what became of each item.
    async fn write_entities(&self, subject: &SubjectKey, import: &Import, items: &[Item]) -> Result<Vec<Outcome>, Error> {
        let mut firsts: Vec<&Item> = Vec::new();
        let mut place_of: HashMap<&EntityId, usize> = HashMap::new();
        for item in items {
            place_of.entry(&item.id).or_insert_with(|| {
                firsts.push(item);
                firsts.len() - 1
            });
        }
        let mut written = Vec::with_capacity(firsts.len());
        for chunk in firsts.chunks(ENTITIES_AT_ONCE) {
            written.extend(self.write_chunk(subject, import, chunk).await?);
        }
        let mut seen = vec![false; firsts.len()];
        let outcomes = items.iter().map(|item| {
            let place = place_of[&item.id];
            let is_first = !std::mem::replace(&mut seen[place], true);
            match written[place] {
                // The same entity once more was there by then.
                Outcome::Created if !is_first => Outcome::Found,
                outcome => outcome,
            }
        });
        Ok(outcomes.collect())
    }

    async fn write_chunk(&self, subject: &SubjectKey, import: &Import, items: &[&Item]) -> Result<Vec<Outcome>, Error> {
        let ids: Vec<&EntityId> = items.iter().map(|item| &item.id).collect();
        let mut waits = retry::overtaken().build();
        loop {
            let held = self.records.entities_of(subject, &ids).await?;
            let held: BTreeMap<EntityId, Entity> = held.into_iter().map(|entity| (entity.id.clone(), entity)).collect();
            let (mut changes, mut outcomes) = (Vec::new(), Vec::with_capacity(items.len()));
            for item in items {
                let before = held.get(&item.id);
                let at_ms = moment(self.clock.now_ms(), before.map(|before| before.updated_at.as_str()));
                let is_own = before.is_some_and(|before| before.import == import.id);
                let own = if is_own { Outcome::Created } else { Outcome::Found };
                let made = Entity::imported(before, item, &import.generation, &import.id, &rfc3339(at_ms));
                outcomes.push(match &made {
                    Imported::Created(_) => Outcome::Created,
                    Imported::Updated(_) | Imported::Same => own,
                    Imported::Kept if is_own => Outcome::Created,
                    Imported::Kept => Outcome::Kept,
                });
                if let Imported::Created(entity) | Imported::Updated(entity) = made {
                    changes.push(self.entity_change(subject, before, *entity, Action::Import));
                }
            }
            if changes.is_empty() {
                return Ok(outcomes);
            }
            match self.records.change_entities(subject, &changes).await? {
                EntitiesWritten::Stored => return Ok(outcomes),
                EntitiesWritten::SubjectGone => return Err(Error::SubjectNotFound(subject.subject.to_string())),
                EntitiesWritten::Changed(_) => {
                    sleep(waits.next().ok_or_else(|| Error::ImportContended(import.id.to_string()))?).await;
                }
            }
        }
    }

    /// A change of an entity with its entry in the audit, told to nobody.
    pub(in crate::verbs) fn entity_change(
        &self,
        subject: &SubjectKey,
        before: Option<&Entity>,
        entity: Entity,
        action: Action,
    ) -> EntityChange {
        let object = Object {
            kind: "entity",
            id: entity.id.as_str(),
            subject: &subject.subject,
            generation: Some(&entity.source.generation),
            revision: entity.revision,
        };
        let at_ms = millis_of(&entity.updated_at).unwrap_or_default();
        let change = Entity::audited(before, &entity);
        let entry = Entry::new(&subject.organization, at_ms, &self.actor(), action, &object, change);
        EntityChange { from: before.map_or(0, |before| before.revision), entity, entry, told: None }
    }
}
