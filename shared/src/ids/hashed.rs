//! Ids of imports, entities and entries of the audit, which follow from what they name: whoever makes one again makes the same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::{InvalidId, ULID_CHARS, hashed_id, read_id, text_conversions};

const IMPORT_PREFIX: &str = "imp_";
const ENTITY_PREFIX: &str = "ent_";
const AUDIT_PREFIX: &str = "aud_";
/// Bits of a ULID's random part, of 80 in all, behind those of a revision.
const HASH_BITS: u32 = 48;

/// The id of an import: `imp_` and 26 characters, as of a ULID, that follow from the generation and the version of the importer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImportId(String);

impl ImportId {
    /// The id that follows from these parts: always the same of the same ones. No part may contain a line feed.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        Self(hashed_id(IMPORT_PREFIX, parts))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImportId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("an import's id is `{IMPORT_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(IMPORT_PREFIX, text).map(Self).ok_or_else(told)
    }
}

/// The id of an entity: `ent_` and 26 characters, as of a ULID, that follow from its subject, kind, parent and key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntityId(String);

impl EntityId {
    /// The id that follows from these parts: always the same of the same ones. Only the last part may contain a line feed.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        Self(hashed_id(ENTITY_PREFIX, parts))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntityId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("an entity's id is `{ENTITY_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(ENTITY_PREFIX, text).map(Self).ok_or_else(told)
    }
}

/// The id of an entry in the audit: `aud_` and a ULID in lower case, so that ids sort by time; those of one object and one moment by the
/// object's revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuditId(String);

impl AuditId {
    /// The id of the change that made `revision` of an object at `at_ms`: always the same of the same one.
    #[must_use]
    pub fn of(at_ms: i64, revision: u64, object: &[&str]) -> Self {
        let digest = Sha256::digest(object.join("\n"));
        let hash = digest.iter().take(6).fold(0_u128, |hash, byte| (hash << 8) | u128::from(*byte));
        let revision = u128::from(u32::try_from(revision).unwrap_or(u32::MAX));
        let ulid = Ulid::from_parts(u64::try_from(at_ms).unwrap_or(0), (revision << HASH_BITS) | hash);
        Self(format!("{AUDIT_PREFIX}{}", ulid.to_string().to_ascii_lowercase()))
    }

    /// The lowest id of a moment: that of no entry.
    #[must_use]
    pub fn first_at(at_ms: i64) -> Self {
        let ulid = Ulid::from_parts(u64::try_from(at_ms).unwrap_or(0), 0);
        Self(format!("{AUDIT_PREFIX}{}", ulid.to_string().to_ascii_lowercase()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AuditId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("an entry's id is `{AUDIT_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(AUDIT_PREFIX, text).map(Self).ok_or_else(told)
    }
}

text_conversions!(ImportId);
text_conversions!(EntityId);
text_conversions!(AuditId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_of_one_object_sort_by_time_and_then_by_revision(
            one in (0_i64..3, 0_u64..1_000_000),
            other in (0_i64..3, 0_u64..1_000_000),
            object in "[a-z]{1,5}",
        ) {
            let id = |(at, revision): (i64, u64)| AuditId::of(at, revision, &[&object]);
            prop_assert_eq!(id(one).cmp(&id(other)), one.cmp(&other));
            prop_assert_eq!(AuditId::first_at(one.0) <= id(other), one.0 <= other.0);
            prop_assert_eq!(id(one).to_string().parse::<AuditId>().unwrap(), id(one));
            prop_assert_ne!(AuditId::of(one.0, one.1, &[&object, "x"]), id(one));
        }

        #[test]
        fn hashed_ids_follow_from_their_parts(one in "[a-z]{1,3}", other in "[a-z]{1,3}") {
            prop_assert_eq!(EntityId::of(&[&one]) == EntityId::of(&[&other]), one == other);
            prop_assert_eq!(ImportId::of(&[&one]).to_string().parse::<ImportId>().unwrap(), ImportId::of(&[&one]));
            prop_assert_eq!(EntityId::of(&[&one]).to_string().parse::<EntityId>().unwrap(), EntityId::of(&[&one]));
        }
    }
}
