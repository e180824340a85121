//! Writing an import: its beginning, its entities, and its end.

use std::collections::{BTreeMap, HashMap};

use tokio::time::sleep;

use super::step::{PlannedImport, Step};
use crate::app::App;
use crate::audit::{Action, Entry, Object, moment};
use crate::aws::{EntitiesWritten, EntityChange, IMPORTED_AT_ONCE};
use crate::clock::{millis_of, rfc3339};
use crate::entities::{Entity, Imported};
use crate::error::Error;
use crate::hash::new_salt;
use crate::ids::{EntityId, SubjectKey};
use crate::importers::Item;
use crate::imports::{AttemptResult, Import, ImportState, ImportView, Outcome, report};
use crate::notifications::EventType;
use crate::retry::{self, BackoffBuilder};

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
        // One that was reverted beside this stays so.
        let goes_on = |held: &Import| matches!(held.state, ImportState::Started | ImportState::Failed);
        let ended = self.step_import(subject, &planned, |held| held.filter(|held| goes_on(held)).map(|_| end.clone())).await?;
        if ended.state != ImportState::Completed {
            return Err(Error::ImportContended(ended.id.to_string()));
        }
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
        for chunk in firsts.chunks(IMPORTED_AT_ONCE) {
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
                let salt = new_salt().map_err(Error::Configuration)?;
                let made = Entity::imported(before, item, &import.generation, &import.id, &rfc3339(at_ms), &salt);
                // What it has made before it was reverted was there when it began anew.
                let is_new = is_own && before.is_some_and(|before| before.is_decided_since(&import.begun_at));
                outcomes.push(match &made {
                    Imported::Created(_) => Outcome::Created,
                    Imported::Updated(_) | Imported::Same => own,
                    Imported::Kept(_) if is_new => Outcome::Created,
                    Imported::Kept(_) => Outcome::Kept,
                });
                if let Imported::Created(entity) | Imported::Updated(entity) | Imported::Kept(Some(entity)) = made {
                    changes.push(self.entity_change(subject, before, *entity, Action::Import));
                }
            }
            if changes.is_empty() {
                return Ok(outcomes);
            }
            match self.records.change_entities(subject, &changes, Some(&import.id)).await? {
                EntitiesWritten::Stored => return Ok(outcomes),
                EntitiesWritten::SubjectGone => return Err(Error::SubjectNotFound(subject.subject.to_string())),
                EntitiesWritten::ImportChanged => return Err(Error::ImportContended(import.id.to_string())),
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
