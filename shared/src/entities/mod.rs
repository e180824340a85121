//! Entities: what imports make of generations, until people approve it. The rules are pure.
//!
//! An entity incubates until somebody approves or rejects it; an approved one may be archived. The revision counts its changes, each of
//! which has an entry in the audit: so the entries of an entity are its revisions, in their order.

pub mod body;
pub mod export;
pub mod plan;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::audit::{self, Action};
use crate::hash::sha256_hex;
use crate::ids::{EntityId, GenerationId, ImportId, SubjectId};
use crate::importers::Item;
use crate::limits::ENTITY_IMPORTS_MAX;
use crate::notifications::EventType;

/// What an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Imported, and not decided.
    Incubating,
    /// Approved.
    Approved,
    /// Rejected.
    Rejected,
    /// Approved once, and no longer in use.
    Archived,
    /// Its import was reverted. It has no content, and is listed only where it is asked for.
    Reverted,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Incubating, Self::Approved, Self::Rejected, Self::Archived, Self::Reverted];

    /// The state's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incubating => "incubating",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Archived => "archived",
            Self::Reverted => "reverted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// What decides over an act: an entity without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// Its id.
    pub id: EntityId,
    /// Its kind.
    pub kind: String,
    /// What it is.
    pub state: State,
    /// The entity that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<EntityId>,
}

/// Where an entity comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The generation.
    pub generation: GenerationId,
    /// Where in its answer: `capabilities[0]`.
    pub path: String,
    /// The id that the model gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llm_id: Option<String>,
}

/// An entity, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// Its id.
    pub id: EntityId,
    /// Its kind: `capability`.
    pub kind: String,
    /// What it is.
    pub state: State,
    /// Its name; empty once it is reverted.
    pub name: String,
    /// Its other fields: a JSON object as text. `DynamoDB` nests at most 32 levels, and JSON any number.
    pub fields: String,
    /// The entity that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<EntityId>,
    /// Where it comes from.
    pub source: Source,
    /// The import that made it; once that is reverted, the oldest of those that hold it too.
    pub import: ImportId,
    /// Later imports that hold it too, oldest first: at most [`ENTITY_IMPORTS_MAX`], of which the newest stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_in: Vec<ImportId>,
    /// Goes into the hash of its content, so that the audit's hash cannot be reversed once the entity is gone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub salt: String,
    /// Whether somebody has edited it: later imports leave it as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// Counts its changes, from 1.
    pub revision: u64,
    /// When it was imported first, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// The id of the API key that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When it was decided, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// Why, in the words of who decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An entity as callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntityView {
    /// Its id.
    pub id: EntityId,
    /// Always `entity`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// Its subject.
    pub subject: SubjectId,
    /// Its kind.
    pub kind: String,
    /// What it is.
    pub state: State,
    /// Its name.
    pub name: String,
    /// Its other fields.
    pub fields: Map<String, Value>,
    /// The entity that it belongs to.
    pub parent: Option<EntityId>,
    /// The generation that it comes from.
    pub generation: GenerationId,
    /// Where in the generation's answer.
    pub path: String,
    /// The id that the model gave it.
    pub llm_id: Option<String>,
    /// The import that made it; once that is reverted, the oldest of those that hold it too.
    pub import: ImportId,
    /// Every import that holds it, oldest first. A revert of one takes the entity away where no other holds it.
    pub imports: Vec<ImportId>,
    /// Whether somebody has edited it.
    pub edited: bool,
    /// Counts its changes, from 1.
    pub revision: u64,
    /// When it was imported first, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// The id of the API key that decided it.
    pub decided_by: Option<String>,
    /// When it was decided, RFC 3339.
    pub decided_at: Option<String>,
    /// Why.
    pub note: Option<String>,
}

const fn object() -> &'static str {
    "entity"
}

/// What reviewers do to entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Take it over.
    Approve,
    /// Turn it down.
    Reject,
    /// Put an approved one aside.
    Archive,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 3] = [Self::Approve, Self::Reject, Self::Archive];

    /// The state that it leads to.
    #[must_use]
    pub const fn to(self) -> State {
        match self {
            Self::Approve => State::Approved,
            Self::Reject => State::Rejected,
            Self::Archive => State::Archived,
        }
    }

    /// The state that it begins at.
    #[must_use]
    pub const fn from(self) -> State {
        match self {
            Self::Approve | Self::Reject => State::Incubating,
            Self::Archive => State::Approved,
        }
    }

    /// The same in the audit.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Approve => Action::Approve,
            Self::Reject => Action::Reject,
            Self::Archive => Action::Archive,
        }
    }

    /// The same as an event.
    #[must_use]
    pub const fn event(self) -> EventType {
        match self {
            Self::Approve => EventType::EntityApproved,
            Self::Reject => EventType::EntityRejected,
            Self::Archive => EventType::EntityArchived,
        }
    }
}

/// Why nothing is done to an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The subject has none of that id, or of another kind.
    NotFound,
    /// The entity that it belongs to must be approved first.
    ParentNotApproved,
    /// It is approved.
    Approved,
    /// It is rejected.
    Rejected,
    /// It is archived.
    Archived,
    /// It incubates, and is not approved.
    NotApproved,
    /// Others changed it for as long as this tried.
    Contended,
}

impl Refusal {
    /// The HTTP status that it would have by itself.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Contended => 503,
            _ => 409,
        }
    }
}

/// Who changes an entity, when and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct By {
    /// The id of the API key.
    pub key: Option<String>,
    /// When, RFC 3339.
    pub at: String,
    /// Why.
    pub note: Option<String>,
}

/// What an import makes of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// There was none: it is made.
    Created(Box<Entity>),
    /// It incubates, and gets what the newer answer says.
    Updated(Box<Entity>),
    /// It is what the answer says.
    Same,
    /// Its content stays as it is, because it was decided or edited. It is written where the import did not hold it yet.
    Kept(Option<Box<Entity>>),
}

impl State {
    /// Whether `act` changes an entity in this state; `Ok(false)`: it is what it would become. `parent` is the state of the entity that it
    /// belongs to; `None`: it belongs to none.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn takes(self, act: Act, parent: Option<Self>) -> Result<bool, Refusal> {
        match self {
            Self::Reverted => return Err(Refusal::NotFound),
            state if state == act.to() => return Ok(false),
            state if state == act.from() => {}
            Self::Incubating => return Err(Refusal::NotApproved),
            Self::Approved => return Err(Refusal::Approved),
            Self::Rejected => return Err(Refusal::Rejected),
            Self::Archived => return Err(Refusal::Archived),
        }
        if act == Act::Approve && parent.is_some_and(|parent| !matches!(parent, Self::Approved | Self::Archived)) {
            return Err(Refusal::ParentNotApproved);
        }
        Ok(true)
    }
}

impl Entity {
    /// What `act` makes of it, as [`State::takes`] says. `Ok(None)`: it is that already.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn decided(&self, act: Act, parent: Option<State>, by: &By) -> Result<Option<Self>, Refusal> {
        if !self.state.takes(act, parent)? {
            return Ok(None);
        }
        let mut next = self.changed(&by.at);
        next.state = act.to();
        (next.decided_by, next.decided_at, next.note) = (by.key.clone(), Some(by.at.clone()), by.note.clone());
        Ok(Some(next))
    }

    /// It with another name, or other fields: those of `fields` that are null go, the others are set. `Ok(None)`: nothing changes.
    ///
    /// # Errors
    /// Why it is not edited: only what incubates is.
    pub fn edited(&self, name: Option<&str>, fields: &Map<String, Value>, by: &By) -> Result<Option<Self>, Refusal> {
        match self.state {
            State::Incubating => {}
            State::Approved => return Err(Refusal::Approved),
            State::Rejected => return Err(Refusal::Rejected),
            State::Archived => return Err(Refusal::Archived),
            State::Reverted => return Err(Refusal::NotFound),
        }
        let mut merged = self.fields();
        for (name, value) in fields {
            if value.is_null() {
                merged.shift_remove(name);
            } else {
                merged.insert(name.clone(), value.clone());
            }
        }
        let mut next = self.changed(&by.at);
        next.fields = Value::Object(merged).to_string();
        next.name = name.map_or_else(|| self.name.clone(), |name| name.trim().to_owned());
        if next.name == self.name && next.fields == self.fields {
            return Ok(None);
        }
        (next.edited, next.note) = (true, by.note.clone());
        Ok(Some(next))
    }

    /// Every import that holds it, oldest first.
    pub fn imports(&self) -> impl Iterator<Item = &ImportId> {
        std::iter::once(&self.import).chain(&self.also_in)
    }

    /// Whether an import holds it.
    #[must_use]
    pub fn is_in(&self, import: &ImportId) -> bool {
        self.imports().any(|own| own == import)
    }

    /// What is left of it once `import` is reverted: where others hold it, all but that import; otherwise nothing but its id. `None`: the
    /// import does not hold it, or it was decided, and stays.
    #[must_use]
    pub fn reverted(&self, import: &ImportId, by: &By) -> Option<Self> {
        let mut next = (self.state == State::Incubating && self.is_in(import)).then(|| self.changed(&by.at))?;
        let mut left = self.imports().filter(|own| *own != import).cloned();
        if let Some(oldest) = left.next() {
            next.import = oldest;
            next.also_in = left.collect();
            return Some(next);
        }
        next.state = State::Reverted;
        (next.name, next.fields, next.edited) = (String::new(), "{}".to_owned(), false);
        (next.source.llm_id, next.note, next.salt) = (None, by.note.clone(), String::new());
        Some(next)
    }

    /// What an import makes of an item of its answer, where `held` is there already. `salt` is for an entity that it makes.
    #[must_use]
    pub fn imported(
        held: Option<&Self>,
        item: &Item,
        generation: &GenerationId,
        import: &ImportId,
        at: &str,
        salt: &str,
    ) -> Imported {
        let source = Source { generation: generation.clone(), path: item.path.clone(), llm_id: item.llm_id.clone() };
        let fields = Value::Object(item.fields.clone()).to_string();
        let Some(held) = held else {
            return Imported::Created(Box::new(Self {
                id: item.id.clone(),
                kind: item.kind.clone(),
                state: State::Incubating,
                name: item.name.clone(),
                fields,
                parent: item.parent.clone(),
                source,
                import: import.clone(),
                also_in: Vec::new(),
                salt: salt.to_owned(),
                edited: false,
                revision: 1,
                created_at: at.to_owned(),
                updated_at: at.to_owned(),
                decided_by: None,
                decided_at: None,
                note: None,
            }));
        };
        let mut next = held.changed(at);
        if held.state == State::Reverted {
            (next.name, next.fields, next.source) = (item.name.clone(), fields, source);
            (next.state, next.import, next.also_in) = (State::Incubating, import.clone(), Vec::new());
            (next.note, next.salt) = (None, salt.to_owned());
            return Imported::Created(Box::new(next));
        }
        let is_held = held.is_in(import);
        if !is_held {
            next.also_in.push(import.clone());
            let surplus = next.also_in.len().saturating_sub(ENTITY_IMPORTS_MAX - 1);
            next.also_in.drain(..surplus);
        }
        if held.edited || held.state != State::Incubating {
            return Imported::Kept((!is_held).then(|| Box::new(next)));
        }
        (next.name, next.fields, next.source) = (item.name.clone(), fields, source);
        let is_same = next.name == held.name && next.fields == held.fields && next.source == held.source;
        if is_same && is_held { Imported::Same } else { Imported::Updated(Box::new(next)) }
    }

    /// Whether somebody has decided it since then, RFC 3339.
    #[must_use]
    pub fn is_decided_since(&self, since: &str) -> bool {
        self.decided_at.as_deref().is_none_or(|decided| decided >= since)
    }

    /// What decides over an act.
    #[must_use]
    pub fn brief(&self) -> Brief {
        Brief { id: self.id.clone(), kind: self.kind.clone(), state: self.state, parent: self.parent.clone() }
    }

    fn changed(&self, at: &str) -> Self {
        Self { revision: self.revision + 1, updated_at: at.to_owned(), ..self.clone() }
    }

    fn fields(&self) -> Map<String, Value> {
        serde_json::from_str(&self.fields).unwrap_or_default()
    }

    /// The SHA-256 in hex of its salt, name and fields, by which the audit tells contents apart without having them. Names are short, and could be
    /// guessed from a hash alone; the salt goes with the content.
    #[must_use]
    pub fn content_sha256(&self) -> String {
        sha256_hex(format!("{}\n{}\n{}", self.salt, self.name, self.fields))
    }

    /// What the audit tells of its change from `before`.
    #[must_use]
    pub fn audited(before: Option<&Self>, after: &Self) -> audit::Change {
        let told = |entity: &Self| {
            Map::from_iter([
                ("kind".to_owned(), json!(entity.kind)),
                ("state".to_owned(), json!(entity.state)),
                ("revision".to_owned(), json!(entity.revision)),
                ("imports".to_owned(), json!(entity.imports().count())),
                ("content_sha256".to_owned(), json!(entity.content_sha256())),
            ])
        };
        audit::Change { before: before.map(told).unwrap_or_default(), after: told(after), note: after.note.clone() }
    }

    /// It as callers see it.
    #[must_use]
    pub fn view(self, subject: &SubjectId) -> EntityView {
        EntityView {
            fields: self.fields(),
            imports: self.imports().cloned().collect(),
            id: self.id,
            object: "entity",
            subject: subject.clone(),
            kind: self.kind,
            state: self.state,
            name: self.name,
            parent: self.parent,
            generation: self.source.generation,
            path: self.source.path,
            llm_id: self.source.llm_id,
            import: self.import,
            edited: self.edited,
            revision: self.revision,
            created_at: self.created_at,
            updated_at: self.updated_at,
            decided_by: self.decided_by,
            decided_at: self.decided_at,
            note: self.note,
        }
    }
}

#[cfg(test)]
#[path = "entity_tests.rs"]
mod tests;
