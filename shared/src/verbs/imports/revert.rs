//! `revert`: what an import has made and nobody has decided is taken back.

use tokio::time::sleep;

use super::step::Step;
use crate::app::App;
use crate::audit::{Action, moment};
use crate::aws::{ENTITIES_AT_ONCE, EntitiesWritten, EntityChange};
use crate::clock::rfc3339;
use crate::entities::By;
use crate::error::Error;
use crate::ids::{ImportId, SubjectKey};
use crate::imports::{Import, ImportState, ImportView};
use crate::limits::LIST_LIMIT_MAX;
use crate::notifications::EventType;
use crate::retry::{self, BackoffBuilder};

impl App {
    /// Reverts an import: of its entities, those that incubate, unless another import holds them too. Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::ImportNotFound`]; [`Error::ImportNotReverted`]: it has made nothing. [`Error::ImportContended`], [`Error::Aws`].
    pub async fn revert_import(&self, key: &SubjectKey, id: &ImportId, note: Option<String>) -> Result<ImportView, Error> {
        self.known_subject(key).await?;
        let mut waits = retry::overtaken().build();
        loop {
            let held = self.known_import(key, id).await?;
            match held.state {
                ImportState::Reverted => return Ok(held.view(&key.subject)),
                ImportState::Started | ImportState::Completed | ImportState::Failed => {}
                ImportState::Skipped | ImportState::Invalid => {
                    return Err(Error::ImportNotReverted(id.to_string(), "none that has made anything".to_owned()));
                }
            }
            let left = self.revert_entities(key, &held, note.as_ref()).await?;
            if left == 0 {
                let at_ms = moment(self.clock.now_ms(), Some(&held.updated_at));
                let mut next = held.next(ImportState::Reverted, self.caller_name(), &rfc3339(at_ms));
                next.report = None;
                let step =
                    Step { state: next.state, event: Some(EventType::ImportReverted), note: note.clone(), ..Step::default() };
                if self.write_step(key, Some(&held), &next, step, at_ms).await? {
                    tracing::info!(import = %id, organization = %key.organization, subject = %key.subject, "An import was reverted.");
                    return Ok(next.view(&key.subject));
                }
            }
            sleep(waits.next().ok_or_else(|| Error::ImportContended(id.to_string()))?).await;
        }
    }

    pub(super) async fn known_import(&self, key: &SubjectKey, id: &ImportId) -> Result<Import, Error> {
        let absent = || Error::ImportNotFound(key.subject.to_string(), id.to_string());
        self.records.import(key, id).await?.ok_or_else(absent)
    }

    /// Reverts the entities that an import has made and nobody has decided. Returns how many others changed meanwhile.
    async fn revert_entities(&self, key: &SubjectKey, import: &Import, note: Option<&String>) -> Result<usize, Error> {
        let (mut after, mut left) = (None, 0);
        loop {
            let page = self.records.entities(key, after.as_ref(), LIST_LIMIT_MAX).await?;
            after = page.entities.last().map(|entity| entity.id.clone());
            let changes: Vec<EntityChange> = page
                .entities
                .iter()
                .filter_map(|entity| {
                    let at_ms = moment(self.clock.now_ms(), Some(&entity.updated_at));
                    let by = By { key: self.caller_name(), at: rfc3339(at_ms), note: note.cloned() };
                    Some(self.entity_change(key, Some(entity), entity.reverted(&import.id, &by)?, Action::Revert))
                })
                .collect();
            for chunk in changes.chunks(ENTITIES_AT_ONCE) {
                match self.records.change_entities(key, chunk, None).await? {
                    EntitiesWritten::Stored => {}
                    EntitiesWritten::Changed(_) | EntitiesWritten::ImportChanged => left += chunk.len(),
                    EntitiesWritten::SubjectGone => return Err(Error::SubjectNotFound(key.subject.to_string())),
                }
            }
            if !page.has_more || after.is_none() {
                return Ok(left);
            }
        }
    }
}
