//! The id of a run of a migration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{InvalidId, ULID_CHARS, new_id, read_id, text_conversions};

const MIGRATION_PREFIX: &str = "mig_";

/// The id of a run of a migration: `mig_` and a ULID in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MigrationId(String);

impl MigrationId {
    /// A new id for the given moment, in milliseconds since the epoch.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self(new_id(MIGRATION_PREFIX, now_ms))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MigrationId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("a run's id is `{MIGRATION_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(MIGRATION_PREFIX, text).map(Self).ok_or_else(told)
    }
}

text_conversions!(MigrationId);
