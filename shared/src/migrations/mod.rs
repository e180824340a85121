//! Changes of stored data: what one changes, what it is worth, and in which state a row is.
//!
//! A change is planned before it is written, from rows as they were read, and each write is made on the condition that its row still is
//! so. What it takes away is kept, so that it can be undone as long as nobody has changed the same attributes since.

pub mod accepted_prompt;
pub mod journal;
pub mod pace;
pub mod plan;
pub mod stratos;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_dynamo::AttributeValue;

use crate::limits::WRITE_UNIT_BYTES;

/// The attributes of a row by their names, without those of its key.
pub type Attributes = BTreeMap<String, AttributeValue>;

/// The key of a row of the records table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    /// The partition key.
    pub pk: String,
    /// The sort key.
    pub sk: String,
}

impl std::fmt::Display for RowKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.pk, self.sk)
    }
}

/// One attribute, before and after; `None`: the row does not have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeChange {
    /// The value that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<AttributeValue>,
    /// The value that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<AttributeValue>,
}

/// The change of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChange {
    /// The row.
    #[serde(flatten)]
    pub key: RowKey,
    /// Whether the row appears with it. Then the attributes are all that it has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_new: bool,
    /// The attributes that change.
    pub attributes: BTreeMap<String, AttributeChange>,
}

/// In which state a row is, seen from a change of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// As before the change.
    Before,
    /// As after it.
    After,
    /// Somebody else has changed what it changes.
    Other,
}

impl RowChange {
    /// The change from one state of a row to the next; `None`: they are the same. Attributes that `after` leaves out are removed.
    #[must_use]
    pub fn between(key: RowKey, before: Option<&Attributes>, after: &Attributes) -> Option<Self> {
        let none = Attributes::new();
        let (is_new, before) = (before.is_none(), before.unwrap_or(&none));
        let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
        let attributes: BTreeMap<String, AttributeChange> = changed
            .map(|name| {
                let change = AttributeChange { before: before.get(name).cloned(), after: after.get(name).cloned() };
                (name.clone(), change)
            })
            .collect();
        (is_new || !attributes.is_empty()).then_some(Self { key, is_new, attributes })
    }

    /// The state of the row; `None`: there is none.
    #[must_use]
    pub fn state(&self, row: Option<&Attributes>) -> RowState {
        let Some(row) = row else { return if self.is_new { RowState::Before } else { RowState::Other } };
        let has = |side: fn(&AttributeChange) -> &Option<AttributeValue>| {
            self.attributes.iter().all(|(name, change)| row.get(name) == side(change).as_ref())
        };
        let is_whole = !self.is_new || row.len() == self.attributes.len();
        if has(|change| &change.after) && is_whole {
            return RowState::After;
        }
        if !self.is_new && has(|change| &change.before) { RowState::Before } else { RowState::Other }
    }

    /// Whether a row has a value that only the change has written to it.
    #[must_use]
    pub fn has_trace(&self, row: Option<&Attributes>) -> bool {
        let is_ours = |(name, change): (&String, &AttributeChange)| {
            change.before != change.after && change.after.is_some() && row.and_then(|row| row.get(name)) == change.after.as_ref()
        };
        if self.is_new { row.is_some() } else { self.attributes.iter().any(is_ours) }
    }

    /// The row after the change.
    #[must_use]
    pub fn apply(&self, row: Option<&Attributes>) -> Attributes {
        let mut next = row.filter(|_| !self.is_new).cloned().unwrap_or_default();
        for (name, change) in &self.attributes {
            match &change.after {
                Some(value) => drop(next.insert(name.clone(), value.clone())),
                None => drop(next.remove(name)),
            }
        }
        next
    }

    /// The change that takes this one back; `None`: the row goes.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let swap = |change: &AttributeChange| AttributeChange { before: change.after.clone(), after: change.before.clone() };
        let attributes = self.attributes.iter().map(|(name, change)| (name.clone(), swap(change))).collect();
        (!self.is_new).then(|| Self { key: self.key.clone(), is_new: false, attributes })
    }

    /// Bytes of what is written, names and keys included: an estimate of the row's size where it is new.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let key = self.key.pk.len() + self.key.sk.len() + 4;
        let values = self.attributes.iter().filter_map(|(name, change)| Some(name.len() + bytes_of(change.after.as_ref()?)));
        key + values.sum::<usize>()
    }

    /// The entries that the table's indexes have of it.
    fn index_entries(&self) -> u64 {
        let has = |name: &str| self.attributes.get(name).is_some_and(|change| change.after.is_some());
        u64::from(has("organization") && has("generation")) + u64::from(has("open") && has("open_at"))
    }
}

/// The bytes of a value, as DynamoDB counts them.
fn bytes_of(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len() / 2 + 2,
        AttributeValue::B(bytes) => bytes.len(),
        AttributeValue::Bool(_) | AttributeValue::Null(_) => 1,
        AttributeValue::M(map) => 3 + map.iter().map(|(name, value)| name.len() + bytes_of(value) + 1).sum::<usize>(),
        AttributeValue::L(list) => 3 + list.iter().map(|value| bytes_of(value) + 1).sum::<usize>(),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Bs(all) => all.iter().map(Vec::len).sum(),
    }
}

/// An object that a change puts into the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectChange {
    /// Its key.
    pub object: String,
    /// The SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it appears with the change. Otherwise it was there already, with the same bytes, and stays when the change is undone.
    pub is_new: bool,
    /// The SHA-256 of the object that it comes in place of. The journal keeps that, and undo puts it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// What one unit of a migration changes: all its rows in one transaction, after its objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The unit, such as `generation 59`.
    pub unit: String,
    /// The rows, at most [`ROWS_MAX`].
    pub rows: Vec<RowChange>,
    /// The objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectChange>,
}

/// Rows of one change. A transaction takes 100, and one of them is the lock.
pub const ROWS_MAX: usize = 99;
/// Bytes of a row, and of all rows of one change: DynamoDB's bounds of an item and of a transaction.
pub const ROW_BYTES_MAX: usize = 400 * 1024;
/// See [`ROW_BYTES_MAX`].
pub const CHANGE_BYTES_MAX: usize = 4 * 1024 * 1024;

impl Change {
    /// An estimate of the write units that it costs: a transaction's are double, each index's entry is a write, and so is the check of the
    /// lock.
    #[must_use]
    pub fn write_units(&self) -> u64 {
        let of_row = |row: &RowChange| (row.bytes().div_ceil(WRITE_UNIT_BYTES) as u64).max(1) * 2 + row.index_entries() * 2;
        self.rows.iter().map(of_row).sum::<u64>() + 2
    }

    /// Whether it can be written at all.
    ///
    /// # Errors
    /// Why not: it has more rows or more bytes than a transaction takes.
    pub fn fits(&self) -> Result<(), String> {
        let sizes = self.rows.iter().map(|row| (row.bytes(), &row.key));
        let all: usize = sizes.clone().map(|(bytes, _)| bytes).sum();
        match sizes.max() {
            _ if self.rows.len() > ROWS_MAX => {
                Err(format!("it has {} rows, and a transaction takes {ROWS_MAX}", self.rows.len()))
            }
            Some((bytes, key)) if bytes > ROW_BYTES_MAX => {
                Err(format!("its row {key} has {bytes} bytes, and a row takes {ROW_BYTES_MAX}"))
            }
            _ if all > CHANGE_BYTES_MAX => Err(format!("its rows have {all} bytes, and a transaction takes {CHANGE_BYTES_MAX}")),
            _ => Ok(()),
        }
    }

    /// The objects that come in place of others.
    pub fn replacing_objects(&self) -> impl Iterator<Item = &ObjectChange> {
        self.objects.iter().filter(|object| object.replaces.is_some())
    }

    /// The objects that appear with it.
    pub fn new_objects(&self) -> impl Iterator<Item = &ObjectChange> {
        self.objects.iter().filter(|object| object.is_new)
    }
}

/// A unit that something was not done with, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitReason {
    /// The unit.
    pub unit: String,
    /// Why, in a few words.
    pub why: String,
}

impl UnitReason {
    /// Of this unit, for this reason.
    pub fn new(unit: &str, why: impl Into<String>) -> Self {
        Self { unit: unit.to_owned(), why: why.into() }
    }
}

impl std::fmt::Display for UnitReason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.unit, self.why)
    }
}

/// Something about a unit that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// A word for programs, such as `texts_differ`.
    pub code: String,
    /// One sentence.
    pub detail: String,
}

impl Finding {
    /// A finding.
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

/// What is to become of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be changed.
    Change(Change),
    /// It is as it should be.
    AlreadyRight,
    /// It cannot be changed, for this reason.
    Cannot(String),
}

/// A unit, what is to become of it, and what was found about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The unit.
    pub unit: String,
    /// What is to become of it.
    pub verdict: Verdict,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub fn attributes() -> impl Strategy<Value = Attributes> {
        let value = prop_oneof![
            "[a-c]{0,3}".prop_map(AttributeValue::S),
            (0_u32..4).prop_map(|number| AttributeValue::N(number.to_string())),
            any::<bool>().prop_map(AttributeValue::Bool),
            prop::collection::vec(any::<u8>(), 0..4).prop_map(AttributeValue::B),
            prop::collection::hash_map("[a-b]", "[a-b]{0,2}".prop_map(AttributeValue::S), 0..3).prop_map(AttributeValue::M),
        ];
        prop::collection::btree_map("[a-f]", value, 0..6)
    }

    fn key() -> RowKey {
        RowKey { pk: "acme#1".into(), sk: "record".into() }
    }

    proptest! {
        #[test]
        fn a_change_leads_there_and_back(before in prop::option::of(attributes()), after in attributes(), other in attributes()) {
            let Some(change) = RowChange::between(key(), before.as_ref(), &after) else {
                prop_assert_eq!(before.as_ref(), Some(&after));
                return Ok(());
            };
            prop_assert_eq!(change.state(before.as_ref()), RowState::Before);
            prop_assert_eq!(change.state(Some(&after)), RowState::After);
            prop_assert_eq!(&change.apply(before.as_ref()), &after);
            match change.inverse() {
                None => prop_assert!(before.is_none()),
                Some(inverse) => prop_assert_eq!(Some(inverse.apply(Some(&after))), before.clone()),
            }
            prop_assert!(change.has_trace(Some(&after)) || change.attributes.values().all(|change| change.after.is_none()));
            prop_assert!(!change.has_trace(before.as_ref()));
            let fits = |rows: Vec<RowChange>| Change { unit: "1".into(), rows, objects: Vec::new() }.fits();
            prop_assert_eq!(fits(vec![change.clone()]), Ok(()));
            prop_assert_eq!(fits(vec![change.clone(); ROWS_MAX]), Ok(()));
            prop_assert!(fits(vec![change.clone(); ROWS_MAX + 1]).is_err());
            let mut large = after.clone();
            large.insert("z".into(), AttributeValue::S("x".repeat(ROW_BYTES_MAX)));
            let large = fits(RowChange::between(key(), before.as_ref(), &large).into_iter().collect());
            prop_assert!(large.unwrap_err().contains("acme#1 record"));
            // Another row is in one of the two states only as far as the changed attributes go.
            if change.state(Some(&other)) == RowState::After {
                prop_assert!(change.attributes.iter().all(|(name, change)| other.get(name) == change.after.as_ref()));
                prop_assert!(!change.is_new || other == after);
            }
            let line = serde_json::to_string(&change).unwrap();
            prop_assert_eq!(serde_json::from_str::<RowChange>(&line).unwrap(), change);
        }
    }
}
