//! `edit`: an entity gets another name or other fields, while it incubates.

use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::app::App;
use crate::audit::{Action, moment};
use crate::aws::{EntitiesWritten, EntityChange};
use crate::clock::{millis_of, rfc3339};
use crate::entities::body::EditEntity;
use crate::entities::{By, Entity, EntityView, Refusal};
use crate::error::Error;
use crate::ids::{EntityId, SubjectKey};
use crate::json::json_bytes;
use crate::limits::ENTITY_FIELDS_BYTES_MAX;
use crate::notifications::notify::Notify;
use crate::notifications::subscriptions::Topic;
use crate::notifications::{EventType, Notification};
use crate::retry::{self, BackoffBuilder};

impl App {
    /// Edits an entity that incubates. `made_from` is the revision that it must have; `None`: any.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::EntityNotFound`], [`Error::EntityDecided`], [`Error::EntityChanged`]; [`Error::InvalidRequest`]:
    /// the fields become too large. [`Error::EntityContended`], [`Error::Aws`].
    pub async fn edit_entity(
        &self,
        key: &SubjectKey,
        id: &EntityId,
        edit: &EditEntity,
        made_from: Option<u64>,
    ) -> Result<EntityView, Error> {
        self.known_subject(key).await?;
        let mut waits = retry::overtaken().build();
        loop {
            let held = self.known_entity(key, id).await?;
            if made_from.is_some_and(|from| from != held.revision) {
                return Err(Error::EntityChanged(id.to_string(), held.revision));
            }
            let at_ms = moment(self.clock.now_ms(), Some(&held.updated_at));
            let by = By { key: self.caller_name(), at: rfc3339(at_ms), note: edit.note.clone() };
            let next = match held.edited(edit.name.as_deref(), &edit.fields, &by) {
                Ok(Some(next)) => next,
                Ok(None) => return Ok(held.view(&key.subject)),
                Err(Refusal::NotFound) => return Err(Error::EntityNotFound(key.subject.to_string(), id.to_string())),
                Err(_) => return Err(Error::EntityDecided(id.to_string(), held.state.to_string())),
            };
            if json_bytes(&next.fields) > 2 * ENTITY_FIELDS_BYTES_MAX as u64 {
                let told = format!("must leave the entity with at most {ENTITY_FIELDS_BYTES_MAX} bytes of fields as JSON");
                return Err(Error::invalid("/fields", told));
            }
            let change = self.told_change(key, &held, next.clone(), Action::Edit, EventType::EntityEdited).await?;
            match self.records.change_entities(key, &[change], None).await? {
                EntitiesWritten::Stored => return Ok(next.view(&key.subject)),
                EntitiesWritten::SubjectGone => return Err(Error::SubjectNotFound(key.subject.to_string())),
                EntitiesWritten::Changed(_) | EntitiesWritten::ImportChanged => {
                    sleep(waits.next().ok_or_else(|| Error::EntityContended(id.to_string()))?).await;
                }
            }
        }
    }

    /// A change of an entity with its entry in the audit, and what endpoints are told of it, where one wants that.
    pub(super) async fn told_change(
        &self,
        key: &SubjectKey,
        held: &Entity,
        next: Entity,
        action: Action,
        event: EventType,
    ) -> Result<EntityChange, Error> {
        let mut change = self.entity_change(key, Some(held), next, action);
        if self.settings(&key.organization).await?.topics.contains(&Topic::Entities) {
            change.told = Some(entity_told(key, &change.entity, event));
        }
        Ok(change)
    }
}

fn entity_told(key: &SubjectKey, entity: &Entity, event: EventType) -> Notification {
    let data = Map::<String, Value>::from_iter([
        ("subject".to_owned(), json!(key.subject)),
        ("status".to_owned(), json!(entity.state)),
        ("kind".to_owned(), json!(entity.kind)),
        ("revision".to_owned(), json!(entity.revision)),
        ("generation".to_owned(), json!(entity.source.generation)),
    ]);
    let at_ms = millis_of(&entity.updated_at).unwrap_or_default();
    Notification::at_revision(&key.organization, event, (entity.id.as_str(), entity.revision), at_ms, data, &Notify::default())
}
