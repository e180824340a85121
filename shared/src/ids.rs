//! Names that cannot be wrong once they are parsed.

mod hashed;
mod keys;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ulid::Ulid;

pub use self::hashed::{AuditId, EntityId, ImportId};
pub use self::keys::{BatchKey, GenerationKey, RunKey, SubjectKey};
use crate::limits::{SUBJECT_CHARS_MAX, USER_CHARS_MAX};

const ORGANIZATION_CHARS_MAX: usize = 64;
const GENERATION_PREFIX: &str = "gen_";
const KEY_PREFIX: &str = "key_";
const BATCH_PREFIX: &str = "bat_";
const RUN_PREFIX: &str = "run_";
const EVENT_PREFIX: &str = "evt_";
const ENDPOINT_PREFIX: &str = "whe_";
const DELIVERY_PREFIX: &str = "dlv_";
const INBOX_PREFIX: &str = "ntf_";
const UPLOAD_PREFIX: &str = "upl_";
const FOLDER_DIGITS: usize = 20;
const ULID_CHARS: usize = 26;

/// The error of a malformed name. The message states the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(String);

/// The tenant: 1 to 64 letters, digits, `_` or `-`. It comes from the caller's credential only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Organization(String);

impl Organization {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Organization {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits = (1..=ORGANIZATION_CHARS_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidId(format!("an organization is 1 to {ORGANIZATION_CHARS_MAX} letters, digits, `_` or `-`, not {text:?}")))
    }
}

/// A generation's id: `gen_` and a ULID in lower case, so that ids sort by the time they were made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GenerationId(String);

impl GenerationId {
    /// A new id for the given moment, in milliseconds since the epoch.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self(new_id(GENERATION_PREFIX, now_ms))
    }

    /// An id that sorts before every id made at the given moment or later.
    #[must_use]
    pub fn first_at(ms: i64) -> Self {
        Self(first_id(GENERATION_PREFIX, ms))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the id was made, in milliseconds since the epoch.
    #[must_use]
    pub fn created_ms(&self) -> i64 {
        made_ms(GENERATION_PREFIX, &self.0)
    }
}

impl FromStr for GenerationId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("a generation's id is `{GENERATION_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(GENERATION_PREFIX, text).map(Self).ok_or_else(told)
    }
}

/// An API key's id, which is not secret: `key_` and a ULID in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

impl KeyId {
    /// A new id for the given moment, in milliseconds since the epoch.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self(new_id(KEY_PREFIX, now_ms))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // What came is not told: whoever mistakes the key for its id must not find it in a log.
        let told = || InvalidId(format!("a key's id is `{KEY_PREFIX}` and {ULID_CHARS} characters; it is not the key itself"));
        read_id(KEY_PREFIX, text).map(Self).ok_or_else(told)
    }
}

/// A subject's name, which the caller chooses: 1 to 128 letters, digits, `.`, `_`, `:`, `@` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectId(String);

impl SubjectId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubjectId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits = (1..=SUBJECT_CHARS_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte)) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidId(format!("a subject is 1 to {SUBJECT_CHARS_MAX} letters, digits, `.`, `_`, `:`, `@` or `-`, not {text:?}")))
    }
}

/// A batch's id: `bat_` and a ULID in lower case, so that ids sort by the time they were made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BatchId(String);

impl BatchId {
    /// A new id for the given moment, in milliseconds since the epoch.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self(new_id(BATCH_PREFIX, now_ms))
    }

    /// An id that sorts before every id made at the given moment or later.
    #[must_use]
    pub fn first_at(ms: i64) -> Self {
        Self(first_id(BATCH_PREFIX, ms))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BatchId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("a batch's id is `{BATCH_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(BATCH_PREFIX, text).map(Self).ok_or_else(told)
    }
}

/// A run's id: `run_` and a ULID in lower case, so that ids sort by the time they were made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// A new id for the given moment, in milliseconds since the epoch.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self(new_id(RUN_PREFIX, now_ms))
    }

    /// An id that sorts before every id made at the given moment or later.
    #[must_use]
    pub fn first_at(ms: i64) -> Self {
        Self(first_id(RUN_PREFIX, ms))
    }

    /// When the id was made, in milliseconds since the epoch.
    #[must_use]
    pub fn created_ms(&self) -> i64 {
        made_ms(RUN_PREFIX, &self.0)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("a run's id is `{RUN_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(RUN_PREFIX, text).map(Self).ok_or_else(told)
    }
}

/// Somebody who is notified, as the caller names them: 1 to 128 letters, digits, `.`, `_`, `:`, `@`, `+` or `-`. An address of e-mail is
/// one, mostly.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

impl UserId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits = (1..=USER_CHARS_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:@+-".contains(&byte)) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidId(format!("a user is 1 to {USER_CHARS_MAX} letters, digits, `.`, `_`, `:`, `@`, `+` or `-`, not {text:?}")))
    }
}

/// The id of something that has happened: `evt_` and 26 characters, as of a ULID, that follow from what it happened to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventId(String);

impl EventId {
    /// The id that follows from these parts: always the same of the same ones. No part may contain a line feed.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        Self(hashed_id(EVENT_PREFIX, parts))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("an event's id is `{EVENT_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(EVENT_PREFIX, text).map(Self).ok_or_else(told)
    }
}

/// An endpoint's id: `whe_` and a ULID in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EndpointId(String);

impl EndpointId {
    /// A new id for the given moment, in milliseconds since the epoch.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self(new_id(ENDPOINT_PREFIX, now_ms))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndpointId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("an endpoint's id is `{ENDPOINT_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(ENDPOINT_PREFIX, text).map(Self).ok_or_else(told)
    }
}

/// An upload's id: `upl_` and a ULID in lower case, so that it tells when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadId(String);

impl UploadId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A new id for the given moment, in milliseconds since the epoch.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self(new_id(UPLOAD_PREFIX, now_ms))
    }

    /// When the id was made, in milliseconds since the epoch.
    #[must_use]
    pub fn created_ms(&self) -> i64 {
        made_ms(UPLOAD_PREFIX, &self.0)
    }
}

impl FromStr for UploadId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("an upload's id is `{UPLOAD_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(UPLOAD_PREFIX, text).map(Self).ok_or_else(told)
    }
}

/// The id of one delivery of an event to an endpoint: `dlv_` and a ULID in lower case, so that ids sort by the time of the event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryId(String);

impl DeliveryId {
    /// The id that follows from a moment and these parts: always the same of the same ones.
    #[must_use]
    pub fn of(at_ms: i64, parts: &[&str]) -> Self {
        Self(derived_id(DELIVERY_PREFIX, at_ms, parts))
    }

    /// An id that sorts before every id of the given moment or later.
    #[must_use]
    pub fn first_at(ms: i64) -> Self {
        Self(first_id(DELIVERY_PREFIX, ms))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeliveryId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("a delivery's id is `{DELIVERY_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(DELIVERY_PREFIX, text).map(Self).ok_or_else(told)
    }
}

/// The id of an entry in a user's list: `ntf_` and a ULID in lower case, so that ids sort by the time of the event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InboxId(String);

impl InboxId {
    /// The id that follows from a moment and an event: always the same of the same ones.
    #[must_use]
    pub fn of(at_ms: i64, event: &EventId) -> Self {
        Self(derived_id(INBOX_PREFIX, at_ms, &[&event.0]))
    }
}

impl FromStr for InboxId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let told = || InvalidId(format!("a notification's id is `{INBOX_PREFIX}` and {ULID_CHARS} characters, not {text:?}"));
        read_id(INBOX_PREFIX, text).map(Self).ok_or_else(told)
    }
}

fn hashed_id(prefix: &str, parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    let bytes = std::array::from_fn(|place| digest[place]);
    format!("{prefix}{}", Ulid::from_bytes(bytes).to_string().to_ascii_lowercase())
}

fn derived_id(prefix: &str, at_ms: i64, parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    let random = u128::from_be_bytes(std::array::from_fn(|place| digest[place]));
    let ulid = Ulid::from_parts(u64::try_from(at_ms).unwrap_or(0), random);
    format!("{prefix}{}", ulid.to_string().to_ascii_lowercase())
}

fn new_id(prefix: &str, now_ms: i64) -> String {
    let random = Ulid::generate().random();
    let ulid = Ulid::from_parts(u64::try_from(now_ms).unwrap_or(0), random);
    format!("{prefix}{}", ulid.to_string().to_ascii_lowercase())
}

/// An id that sorts before every id made at the given moment or later.
fn first_id(prefix: &str, ms: i64) -> String {
    let ulid = Ulid::from_parts(u64::try_from(ms).unwrap_or(0), 0);
    format!("{prefix}{}", ulid.to_string().to_ascii_lowercase())
}

/// When an id was made, in milliseconds since the epoch.
fn made_ms(prefix: &str, id: &str) -> i64 {
    let ulid = id.strip_prefix(prefix).and_then(|ulid| Ulid::from_string(ulid).ok());
    ulid.and_then(|ulid| i64::try_from(ulid.timestamp_ms()).ok()).unwrap_or_default()
}

fn read_id(prefix: &str, text: &str) -> Option<String> {
    let ulid = text.strip_prefix(prefix).filter(|ulid| ulid.len() == ULID_CHARS);
    let canonical = ulid.and_then(|ulid| Ulid::from_string(ulid).ok()).map(|ulid| ulid.to_string().to_ascii_lowercase());
    (canonical.is_some() && canonical.as_deref() == ulid).then(|| text.to_owned())
}

macro_rules! text_conversions {
    ($name:ty) => {
        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

use text_conversions;

text_conversions!(Organization);
text_conversions!(GenerationId);
text_conversions!(KeyId);
text_conversions!(BatchId);

text_conversions!(RunId);
text_conversions!(SubjectId);
text_conversions!(UserId);
text_conversions!(EventId);
text_conversions!(EndpointId);
text_conversions!(UploadId);
text_conversions!(DeliveryId);
text_conversions!(InboxId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_partition_reads_back_as_the_key_it_was_made_from(organization in "[A-Za-z0-9_-]{1,64}", now in 0_i64..253_402_300_799_000) {
            let key = GenerationKey::new(organization.parse().unwrap(), GenerationId::new(now));
            prop_assert_eq!(GenerationKey::from_partition(&key.partition()).unwrap(), key);
        }

        #[test]
        fn parsed_ids_write_back_unchanged(text in prop_oneof![".{0,80}", "[a-z_-]{0,6}(gen_)?[0-9a-z]{0,30}", "[a-z]{1,3}#gen_[0-9a-z]{26}"]) {
            prop_assert!(text.parse::<Organization>().map_or(true, |name| name.to_string() == text));
            prop_assert!(text.parse::<GenerationId>().map_or(true, |id| id.to_string() == text));
            prop_assert!(text.parse::<SubjectId>().map_or(true, |id| id.to_string() == text));
            if let Ok(key) = GenerationKey::from_partition(&text) {
                prop_assert_eq!(key.partition(), text);
            }
        }
    }

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        assert!(GenerationId::new(1_000) < GenerationId::new(2_000));
    }

    #[test]
    fn an_id_in_upper_case_is_another_spelling_and_refused() {
        let id = GenerationId::new(1_000).to_string();
        assert!(id.to_ascii_uppercase().parse::<GenerationId>().is_err());
        assert!(id.replace("gen_", "gen_!").parse::<GenerationId>().is_err());
    }

    #[test]
    fn subjects_have_partitions_that_no_policy_on_api_keys_means() {
        for subject in ["keys", "..", "a@b.c:d-e_f", &"x".repeat(SUBJECT_CHARS_MAX)] {
            let key = SubjectKey::new("acme".parse().unwrap(), subject.parse().unwrap());
            assert!(!key.partition().ends_with("#keys"), "{subject}");
            assert!(!key.folder().contains(".."), "{subject}");
        }
        for wrong in ["", "a b", "a/b", "a#b", "ñ", &"x".repeat(SUBJECT_CHARS_MAX + 1)] {
            assert!(wrong.parse::<SubjectId>().is_err(), "{wrong}");
        }
    }
}
