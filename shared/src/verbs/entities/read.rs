//! Entities as callers see them.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::entities::{Entity, EntityView, State};
use crate::error::Error;
use crate::ids::{EntityId, ImportId, SubjectKey};
use crate::limits::{ENTITY_LIST_BYTES_MAX, ENTITY_LIST_LIMIT_MAX, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, LIST_SCAN_MAX};
use crate::verbs::generations::list::page_limit;

/// Which entities of a subject are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntityQuery {
    /// Those in this state; `None`: in any but `reverted`.
    pub state: Option<State>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// Those that belong to this one.
    pub parent: Option<EntityId>,
    /// Those that this import holds.
    pub import: Option<ImportId>,
    /// Those behind this one, by their ids.
    pub after: Option<EntityId>,
    /// How many, 1 to [`ENTITY_LIST_LIMIT_MAX`].
    pub limit: Option<usize>,
}

impl EntityQuery {
    fn selects(&self, entity: &Entity) -> bool {
        self.state.map_or(entity.state != State::Reverted, |state| state == entity.state)
            && self.kind.as_ref().is_none_or(|kind| *kind == entity.kind)
            && self.parent.as_ref().is_none_or(|parent| Some(parent) == entity.parent.as_ref())
            && self.import.as_ref().is_none_or(|import| entity.is_in(import))
    }
}

/// A page of a subject's entities, by their ids.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EntityList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them. With filters, a page may have fewer than there are, and none.
    pub data: Vec<EntityView>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page: the last one that was looked at.
    pub last_id: Option<EntityId>,
}

const fn list() -> &'static str {
    "list"
}

impl App {
    /// An entity.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::EntityNotFound`], [`Error::Aws`].
    pub async fn entity(&self, key: &SubjectKey, id: &EntityId) -> Result<EntityView, Error> {
        self.known_subject(key).await?;
        Ok(self.known_entity(key, id).await?.view(&key.subject))
    }

    pub(super) async fn known_entity(&self, key: &SubjectKey, id: &EntityId) -> Result<Entity, Error> {
        let absent = || Error::EntityNotFound(key.subject.to_string(), id.to_string());
        self.records.entity(key, id).await?.ok_or_else(absent)
    }

    /// A page of a subject's entities, which has some megabytes at most. Filters look at [`LIST_SCAN_MAX`] at most.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`]; [`Error::InvalidRequest`]: the limit. [`Error::Aws`].
    pub async fn entities(&self, key: &SubjectKey, query: &EntityQuery) -> Result<EntityList, Error> {
        let limit = page_limit(query.limit, LIST_LIMIT_DEFAULT, ENTITY_LIST_LIMIT_MAX)?;
        self.known_subject(key).await?;
        let mut page = EntityList { object: list(), data: Vec::new(), has_more: true, last_id: query.after.clone() };
        let (mut scanned, mut bytes) = (0, 0);
        while page.has_more && page.data.len() < limit && scanned < LIST_SCAN_MAX.max(limit) {
            // Where few are selected, each query looks at many.
            let most = if scanned == 0 { limit } else { limit.max(LIST_LIMIT_MAX) };
            let found = self.records.entities(key, page.last_id.as_ref(), most).await?;
            scanned += found.entities.len();
            page.has_more = found.has_more;
            for entity in found.entities {
                if bytes > ENTITY_LIST_BYTES_MAX || page.data.len() == limit {
                    page.has_more = true;
                    return Ok(page);
                }
                page.last_id = Some(entity.id.clone());
                if query.selects(&entity) {
                    bytes += entity.fields.len();
                    page.data.push(entity.view(&key.subject));
                }
            }
        }
        page.last_id = page.last_id.filter(|_| page.has_more || !page.data.is_empty());
        Ok(page)
    }
}
