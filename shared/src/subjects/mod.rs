//! Subjects: what generations are about, and the versions of their text. A version is a snapshot that never changes.

pub mod body;
pub mod diff;
pub mod export;
pub mod retention;
pub mod version;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::version::{Change, ChangeType};
use crate::acceptance::Acceptance;
use crate::ids::{GenerationId, SubjectId};

/// The newest generated versions whose sizes are kept, for the `percent` of the next generation.
const SIZES_KEPT: usize = 5;

/// The head of a subject: the number of its current version, and what callers say of it. Its default is a subject without any.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// When it appeared, RFC 3339.
    #[serde(default)]
    pub created_at: String,
    /// When a generation, a version, or a change of its details was last begun, RFC 3339.
    #[serde(default)]
    pub updated_at: String,
    /// Counts the changes of all fields below. A change applies to the revision that it was made from, or not at all.
    #[serde(default)]
    pub revision: u64,
    /// The newest version's number; 0: there is none.
    #[serde(default)]
    pub current: u64,
    /// Bytes of the newest generated versions, oldest first.
    #[serde(default)]
    pub sizes: Vec<u64>,
    /// The version of each label.
    #[serde(default)]
    pub version_labels: BTreeMap<String, u64>,
    /// What callers say of it.
    #[serde(default)]
    pub details: Details,
    /// The generation that was started last. Not under the revision.
    #[serde(default, skip_serializing)]
    pub last_generation: Option<GenerationId>,
    /// The generation that is accepted for it. Not under the revision: it has its own.
    #[serde(default, skip_serializing)]
    pub accepted: Option<Acceptance>,
    /// Whether it is being deleted: it takes no versions, and is shown to nobody.
    #[serde(default, skip_serializing)]
    pub deleting: bool,
}

/// What callers say of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Its title.
    #[serde(default)]
    pub title: Option<String>,
    /// The caller's own entries: a JSON object as text, so that numbers keep their spelling.
    #[serde(default)]
    pub attributes: Option<String>,
    /// Words by which it is listed.
    #[serde(default)]
    pub labels: BTreeSet<String>,
}

/// A subject as callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectView {
    /// Its name.
    pub id: SubjectId,
    /// Always `subject`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// Its title.
    pub title: Option<String>,
    /// The caller's own entries.
    pub attributes: Map<String, Value>,
    /// Words by which it is listed.
    pub labels: BTreeSet<String>,
    /// The newest version's number; `None`: there is none.
    pub current: Option<u64>,
    /// The version of each label.
    pub version_labels: BTreeMap<String, u64>,
    /// The generation that was started last.
    pub last_generation: Option<GenerationId>,
    /// When it appeared, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
}

const fn object() -> &'static str {
    "subject"
}

/// Another version has become the current one, which has this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale(pub u64);

impl Subject {
    /// The bytes that the next generation may be expected to have: the median of the newest ones. `None`: none was generated.
    #[must_use]
    pub fn expected_bytes(&self) -> Option<u64> {
        let mut sizes = self.sizes.clone();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).copied()
    }

    /// The subject with one more version of `bytes`, made by `change`; and how the version is called.
    ///
    /// # Errors
    /// [`Stale`]: the change was made from another version than the current one.
    pub fn with_version(&self, change: &Change, bytes: u64, at: &str) -> Result<(Self, ChangeType), Stale> {
        let change_type = match change {
            Change::Generation(_) | Change::Run(_) if self.current == 0 => ChangeType::InitialGeneration,
            Change::Generation(_) | Change::Run(_) => ChangeType::AutomaticRegeneration,
            Change::Edit { made_from: Some(from) } | Change::Restoration { made_from: Some(from) } if *from != self.current => {
                return Err(Stale(self.current));
            }
            Change::Edit { .. } => ChangeType::ManualEdit,
            Change::Restoration { .. } => ChangeType::Restoration,
        };
        let mut next = self.changed(at);
        next.current += 1;
        if let Change::Generation(generation) = change {
            // A batch's item is not noted at its start. Ids sort by their time.
            next.last_generation = next.last_generation.max(Some(generation.clone()));
            next.sizes.push(bytes);
            let surplus = next.sizes.len().saturating_sub(SIZES_KEPT);
            next.sizes.drain(..surplus);
        }
        Ok((next, change_type))
    }

    /// The subject with these labels on a version, and no others. A label that another version had moves.
    #[must_use]
    pub fn with_labels(&self, number: u64, labels: BTreeSet<String>, at: &str) -> Self {
        let mut next = self.changed(at);
        next.version_labels.retain(|_, version| *version != number);
        next.version_labels.extend(labels.into_iter().map(|label| (label, number)));
        next
    }

    /// The subject with these details in place of its own.
    #[must_use]
    pub fn with_details(&self, details: Details, at: &str) -> Self {
        Self { details, ..self.changed(at) }
    }

    /// The subject at its next revision.
    #[must_use]
    pub fn changed(&self, at: &str) -> Self {
        let mut next = self.clone();
        next.revision += 1;
        at.clone_into(&mut next.updated_at);
        if next.created_at.is_empty() {
            at.clone_into(&mut next.created_at);
        }
        next
    }

    /// The labels of a version.
    #[must_use]
    pub fn labels_of(&self, number: u64) -> BTreeSet<String> {
        self.version_labels.iter().filter(|(_, version)| **version == number).map(|(label, _)| label.clone()).collect()
    }

    /// The subject as callers see it.
    #[must_use]
    pub fn view(self, id: SubjectId) -> SubjectView {
        let attributes = self.details.attributes.as_deref().and_then(|text| serde_json::from_str(text).ok());
        SubjectView {
            id,
            object: "subject",
            title: self.details.title,
            attributes: attributes.unwrap_or_default(),
            labels: self.details.labels,
            current: Some(self.current).filter(|current| *current > 0),
            version_labels: self.version_labels,
            last_generation: self.last_generation,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            Just(Change::Generation(GenerationId::first_at(0))),
            prop::option::of(0_u64..12).prop_map(|made_from| Change::Edit { made_from }),
            prop::option::of(0_u64..12).prop_map(|made_from| Change::Restoration { made_from }),
        ]
    }

    proptest! {
        #[test]
        fn numbers_have_no_gaps_and_only_a_stale_edit_gets_none(changes in vec((change(), 0_u64..1_000_000), 0..40)) {
            let (mut subject, mut generated) = (Subject::default(), Vec::new());
            for (change, bytes) in changes {
                let before = subject.clone();
                match before.with_version(&change, bytes, "2026-11-21T09:30:00.000Z") {
                    Ok((next, change_type)) => {
                        prop_assert_eq!((next.current, next.revision), (before.current + 1, before.revision + 1));
                        let is_first = change_type == ChangeType::InitialGeneration;
                        prop_assert_eq!(is_first, before.current == 0 && matches!(change, Change::Generation(_)));
                        if matches!(change, Change::Generation(_)) {
                            generated.push(bytes);
                        }
                        subject = next;
                    }
                    Err(Stale(current)) => {
                        prop_assert_eq!(current, before.current);
                        let (Change::Edit { made_from } | Change::Restoration { made_from }) = change else { panic!("{change:?}") };
                        prop_assert!(made_from.is_some_and(|from| from != current));
                    }
                }
                let newest = &generated[generated.len().saturating_sub(SIZES_KEPT)..];
                prop_assert_eq!(&subject.sizes, newest);
                prop_assert_eq!(subject.expected_bytes().is_some(), !newest.is_empty());
                prop_assert!(subject.expected_bytes().is_none_or(|bytes| newest.contains(&bytes)));
            }
        }

        #[test]
        fn a_label_is_on_one_version(sets in vec((1_u64..5, prop::collection::btree_set("[a-c]", 0..3)), 1..20)) {
            let mut subject = Subject::default();
            for (number, labels) in sets {
                let before = subject.clone();
                subject = before.with_labels(number, labels.clone(), "");
                prop_assert_eq!(subject.labels_of(number), labels.clone());
                for other in (1..5).filter(|other| *other != number) {
                    let left: BTreeSet<String> = before.labels_of(other).difference(&labels).cloned().collect();
                    prop_assert_eq!(subject.labels_of(other), left);
                }
            }
        }
    }
}
