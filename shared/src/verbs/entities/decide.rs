//! `approve`, `reject`, `archive`: what reviewers decide, one entity or many, each with its entry in the audit in the same transaction.
//!
//! Of two reviewers who decide one entity at once, one wins, and the other is told what it is since.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::app::App;
use crate::audit::moment;
use crate::aws::{ENTITIES_AT_ONCE, EntitiesWritten, EntityChange};
use crate::clock::rfc3339;
use crate::entities::body::{Decide, Named, Which};
use crate::entities::plan::{Planned, plan};
use crate::entities::{Act, Brief, By, Refusal, State};
use crate::error::Error;
use crate::ids::{EntityId, SubjectId, SubjectKey};
use crate::limits::{REVIEW_AT_ONCE_MAX, REVIEW_ENTITIES_MAX};
use crate::retry::{self, BackoffBuilder};

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Always `decision`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The subject.
    pub subject: SubjectId,
    /// What was asked for.
    pub act: Act,
    /// Whether every entity that was asked for has become what was asked.
    pub success: bool,
    /// How many have become approved.
    pub approved_count: usize,
    /// How many have become rejected.
    pub rejected_count: usize,
    /// How many have become archived.
    pub archived_count: usize,
    /// How many entities of the subject incubate since.
    pub remaining_incubated: usize,
    /// Whether it could be done to more than [`REVIEW_AT_ONCE_MAX`]: the same request goes on with the others.
    pub has_more: bool,
    /// What became of each.
    pub results: Vec<DecidedItem>,
}

/// What became of one entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedItem {
    /// Its id.
    pub id: EntityId,
    /// Whether it is what was asked.
    pub ok: bool,
    /// Whether it was so already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub already: bool,
    /// What it is; `None`: there is none.
    pub state: Option<State>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Refusal>,
    /// The HTTP status that the refusal would have by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

const fn object() -> &'static str {
    "decision"
}

/// The entities of a subject by their ids.
type Held = BTreeMap<EntityId, Brief>;

impl App {
    /// Decides entities.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`]; [`Error::InvalidRequest`]: the subject has too many. [`Error::Aws`]: some may be decided; the same
    /// request decides the others.
    pub async fn decide_entities(&self, key: &SubjectKey, asked: &Decide) -> Result<Decided, Error> {
        self.known_subject(key).await?;
        let mut held = self.all_entities(key).await?;
        let mut told = Told::default();
        let mut waits = retry::overtaken().build();
        let mut asked_now = asked.clone();
        loop {
            let mut writes = Vec::new();
            for planned in plan(&held, &asked_now) {
                if planned.outcome == Ok(true) && writes.len() >= REVIEW_AT_ONCE_MAX {
                    told.has_more = true;
                } else {
                    told.note(&held, planned, &mut writes);
                }
            }
            let mut overtaken = BTreeSet::new();
            for ids in writes.chunks(ENTITIES_AT_ONCE) {
                // Behind a chunk that is not written, nothing is: what it has may belong to what that had.
                if overtaken.is_empty() && self.write_decisions(key, asked, ids, &mut held).await? {
                    for id in ids {
                        told.write(id, asked.act.to());
                    }
                } else {
                    overtaken.extend(ids.iter().cloned());
                }
            }
            if overtaken.is_empty() {
                return Ok(Decided::new(&key.subject, asked.act, told, &held));
            }
            // What others have changed is looked at again.
            self.read_again(key, &overtaken, &mut held).await?;
            let Some(wait) = waits.next() else {
                for id in overtaken {
                    let state = held.get(&id).map(|entity| entity.state);
                    told.items.insert(id.clone(), DecidedItem::refused(&id, state, Refusal::Contended));
                }
                return Ok(Decided::new(&key.subject, asked.act, told, &held));
            };
            asked_now.which = Which::Items(overtaken.into_iter().map(Named::new).collect());
            sleep(wait).await;
        }
    }

    /// Writes decisions together. `false`: others have changed one of the entities meanwhile, and nothing is written.
    async fn write_decisions(&self, key: &SubjectKey, asked: &Decide, ids: &[EntityId], held: &mut Held) -> Result<bool, Error> {
        let mut changes: Vec<EntityChange> = Vec::with_capacity(ids.len());
        let entities = self.records.entities_of(key, &ids.iter().collect::<Vec<_>>()).await?;
        for entity in &entities {
            let at_ms = moment(self.clock.now_ms(), Some(&entity.updated_at));
            let by = By { key: self.caller_name(), at: rfc3339(at_ms), note: asked.note.clone() };
            // The plan has put parents before what belongs to them.
            if let Ok(Some(next)) = entity.decided(asked.act, None, &by) {
                changes.push(self.told_change(key, entity, next, asked.act.action(), asked.act.event()).await?);
            }
        }
        if changes.len() < ids.len() {
            return Ok(false);
        }
        match self.records.change_entities(key, &changes, None).await? {
            EntitiesWritten::Stored => {
                for change in changes {
                    tracing::info!(
                        entity = %change.entity.id, organization = %key.organization, subject = %key.subject,
                        state = change.entity.state.as_str(), "An entity was decided."
                    );
                    held.insert(change.entity.id.clone(), change.entity.brief());
                }
                Ok(true)
            }
            EntitiesWritten::Changed(_) | EntitiesWritten::ImportChanged => Ok(false),
            EntitiesWritten::SubjectGone => Err(Error::SubjectNotFound(key.subject.to_string())),
        }
    }

    async fn read_again(&self, key: &SubjectKey, ids: &BTreeSet<EntityId>, held: &mut Held) -> Result<(), Error> {
        let wanted: Vec<&EntityId> = ids.iter().collect();
        for id in ids {
            held.remove(id);
        }
        let found = self.records.entities_of(key, &wanted).await?;
        held.extend(found.into_iter().map(|entity| (entity.id.clone(), entity.brief())));
        Ok(())
    }

    async fn all_entities(&self, key: &SubjectKey) -> Result<Held, Error> {
        let briefs = self.records.entity_briefs(key).await?;
        if briefs.len() > REVIEW_ENTITIES_MAX {
            let told = format!("cannot be done: the subject has more than {REVIEW_ENTITIES_MAX} entities");
            return Err(Error::invalid("", told));
        }
        Ok(briefs.into_iter().map(|brief| (brief.id.clone(), brief)).collect())
    }
}

/// What the answer tells, in the order in which the entities were looked at.
#[derive(Default)]
struct Told {
    order: Vec<EntityId>,
    items: BTreeMap<EntityId, DecidedItem>,
    written: BTreeSet<EntityId>,
    has_more: bool,
}

impl Told {
    /// Notes what becomes of a planned entity; one that is to be written is added to `writes`.
    fn note(&mut self, held: &Held, Planned { id, outcome }: Planned, writes: &mut Vec<EntityId>) {
        if self.written.contains(&id) {
            return;
        }
        let state = held.get(&id).map(|entity| entity.state).filter(|state| *state != State::Reverted);
        let item = match outcome {
            Ok(is_new) => {
                writes.extend(is_new.then(|| id.clone()));
                DecidedItem { id: id.clone(), ok: true, already: !is_new, state, reason: None, status: None }
            }
            Err(refusal) => DecidedItem::refused(&id, state, refusal),
        };
        if self.items.insert(id.clone(), item).is_none() {
            self.order.push(id);
        }
    }

    fn write(&mut self, id: &EntityId, state: State) {
        let item = DecidedItem { id: id.clone(), ok: true, already: false, state: Some(state), reason: None, status: None };
        self.items.insert(id.clone(), item);
        self.written.insert(id.clone());
    }

    fn into_items(mut self) -> Vec<DecidedItem> {
        self.order.iter().filter_map(|id| self.items.remove(id)).collect()
    }
}

impl DecidedItem {
    fn refused(id: &EntityId, state: Option<State>, refusal: Refusal) -> Self {
        Self { id: id.clone(), ok: false, already: false, state, reason: Some(refusal), status: Some(refusal.status()) }
    }
}

impl Decided {
    fn new(subject: &SubjectId, act: Act, told: Told, held: &Held) -> Self {
        let has_more = told.has_more;
        let results = told.into_items();
        let new = results.iter().filter(|item| item.ok && !item.already).count();
        let count_of = |of| if act == of { new } else { 0 };
        Self {
            object: object(),
            subject: subject.clone(),
            act,
            success: !has_more && results.iter().all(|item| item.ok),
            approved_count: count_of(Act::Approve),
            rejected_count: count_of(Act::Reject),
            archived_count: count_of(Act::Archive),
            has_more,
            remaining_incubated: held.values().filter(|entity| entity.state == State::Incubating).count(),
            results,
        }
    }
}
