//! The audit: who decided what, and when. An entry is written in the transaction of the change that it tells, and never changes.
//!
//! An entry holds no content: of texts and fields it has names, counts and salted hashes. So it stays when what it tells of is deleted. The note
//! of who acted may have content: it lies with the subject, and goes with it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::{millis_of, rfc3339};
use crate::ids::{AuditId, GenerationId, Organization, SubjectId, UserId};

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Accepted a generation for a subject.
    Accept,
    /// Imported a generation, or tried to.
    Import,
    /// Reverted an import.
    Revert,
    /// Approved an entity.
    Approve,
    /// Rejected an entity.
    Reject,
    /// Edited an entity.
    Edit,
    /// Archived an approved entity.
    Archive,
    /// Deleted a subject with all that belongs to it.
    Delete,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 8] =
        [Self::Accept, Self::Import, Self::Revert, Self::Approve, Self::Reject, Self::Edit, Self::Archive, Self::Delete];

    /// The action's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Import => "import",
            Self::Revert => "revert",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Edit => "edit",
            Self::Archive => "archive",
            Self::Delete => "delete",
        }
    }
}

impl std::str::FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|action| action.as_str() == text);
        let names = Self::ALL.map(Self::as_str).join(", ");
        found.ok_or_else(|| format!("must be one of {names}"))
    }
}

/// Who acts: what the credential tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// The id of the API key; `None`: the credential was none.
    pub key: Option<String>,
    /// The user whom the key is named after.
    pub user: Option<UserId>,
    /// API Gateway's id of the request.
    pub request_id: Option<String>,
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<'a> {
    /// Its kind: `subject`, `import` or `entity`; `generation` where an attempt to import one has changed nothing.
    pub kind: &'static str,
    /// Its id.
    pub id: &'a str,
    /// The subject that it belongs to.
    pub subject: &'a SubjectId,
    /// The generation that the change is about.
    pub generation: Option<&'a GenerationId>,
    /// The revision of the object that the change makes; 0: it changes nothing.
    pub revision: u64,
}

/// An entry of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id, by which entries sort.
    pub id: AuditId,
    /// When, RFC 3339.
    pub at: String,
    /// What was done.
    pub action: Action,
    /// The kind of the object: `subject`, `import`, `entity` or `generation`.
    pub kind: String,
    /// The object's id.
    pub object: String,
    /// The subject that the object belongs to.
    pub subject: SubjectId,
    /// The generation that the change is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationId>,
    /// The revision of the object that the change has made; 0: it has changed nothing.
    pub revision: u64,
    /// The id of the API key; `None`: the credential was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The user whom the key is named after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// API Gateway's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Why, in the words of who acted. It is not in the entry's row: it is among the subject's.
    #[serde(skip)]
    pub note: Option<String>,
    /// Whether there was a note.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_note: bool,
    /// What the object was before: a JSON object as text, without content.
    pub before: String,
    /// What the object is since: a JSON object as text, without content.
    pub after: String,
}

/// What an object is before and after a change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Before.
    pub before: Map<String, Value>,
    /// After.
    pub after: Map<String, Value>,
    /// Why.
    pub note: Option<String>,
}

impl Entry {
    /// The entry of a change at `at_ms`.
    #[must_use]
    pub fn new(
        organization: &Organization,
        at_ms: i64,
        actor: &Actor,
        action: Action,
        object: &Object<'_>,
        change: Change,
    ) -> Self {
        let parts = [organization.as_str(), object.subject.as_str(), object.kind, object.id];
        Self {
            id: AuditId::of(at_ms, object.revision, &parts),
            at: rfc3339(at_ms),
            action,
            kind: object.kind.to_owned(),
            object: object.id.to_owned(),
            subject: object.subject.clone(),
            generation: object.generation.cloned(),
            revision: object.revision,
            actor: actor.key.clone(),
            user: actor.user.clone(),
            request_id: actor.request_id.clone(),
            has_note: change.note.is_some(),
            note: change.note,
            before: Value::Object(change.before).to_string(),
            after: Value::Object(change.after).to_string(),
        }
    }
}

/// The moment of a change: now, or that of the object's last change where another machine's clock was ahead. So the changes of one object
/// sort by their order.
#[must_use]
pub fn moment(now_ms: i64, last: Option<&str>) -> i64 {
    last.and_then(millis_of).map_or(now_ms, |last| last.max(now_ms))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn changes_of_one_object_sort_by_their_order_whatever_the_clocks_tell(clocks in prop::collection::vec(0_i64..50, 1..40)) {
            let (organization, subject) = ("acme".parse().unwrap(), "s".parse().unwrap());
            let (mut last, mut entries) = (None::<String>, Vec::new());
            for (revision, now) in clocks.into_iter().enumerate() {
                let at = moment(now, last.as_deref());
                let revision = revision as u64 + 1;
                let object = Object { kind: "entity", id: "e", subject: &subject, generation: None, revision };
                entries.push(Entry::new(&organization, at, &Actor::default(), Action::Edit, &object, Change::default()));
                last = Some(rfc3339(at));
            }
            prop_assert!(entries.is_sorted_by(|one, other| one.id < other.id));
        }
    }

    #[test]
    fn actions_read_back_from_their_names() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
        assert!("promote".parse::<Action>().unwrap_err().contains("approve"));
    }
}
