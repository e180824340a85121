//! Notifications: that something has happened, for users and for other systems. The rules are pure; [`crate::aws`] stores what they say.
//!
//! Whatever ends an object writes one [`Notification`] in the same transaction. `settle` tells it to the users that it names, and to the
//! endpoints that want events of its type.

pub mod address;
pub mod body;
pub mod delivery;
pub mod endpoint;
pub mod inbox;
pub mod mail;
pub mod notify;
pub mod render;
pub mod schedule;
pub mod signature;
pub mod subscriptions;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::notify::Notify;
use crate::clock::rfc3339;
use crate::ids::{EventId, Organization, UserId};
use crate::json::json_bytes;
use crate::limits::NOTIFICATION_BYTES_MAX;

/// The type of an event: what it happened to, and what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EventType {
    /// `generation.completed`.
    GenerationCompleted,
    /// `generation.incomplete`.
    GenerationIncomplete,
    /// `generation.failed`.
    GenerationFailed,
    /// `generation.cancelled`.
    GenerationCancelled,
    /// `version.created`.
    VersionCreated,
    /// `batch.completed`: every item has ended, however.
    BatchCompleted,
    /// `batch.failed`.
    BatchFailed,
    /// `batch.cancelled`.
    BatchCancelled,
    /// `run.completed`.
    RunCompleted,
    /// `run.failed`.
    RunFailed,
    /// `run.cancelled`.
    RunCancelled,
    /// `step.failed`: a step of a run has no try left.
    StepFailed,
    /// `subject.deleted`: with all that belongs to it.
    SubjectDeleted,
    /// `entity.approved`.
    EntityApproved,
    /// `entity.rejected`.
    EntityRejected,
    /// `entity.archived`.
    EntityArchived,
    /// `entity.edited`: while it incubates.
    EntityEdited,
    /// `import.completed`: its entities incubate.
    ImportCompleted,
    /// `import.reverted`: those that incubated are gone.
    ImportReverted,
    /// `endpoint.disabled`: it has failed for too long, or its receiver is gone for good.
    EndpointDisabled,
    /// `test.ping`: somebody tests an endpoint.
    TestPing,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 21] = [
        Self::GenerationCompleted,
        Self::GenerationIncomplete,
        Self::GenerationFailed,
        Self::GenerationCancelled,
        Self::VersionCreated,
        Self::BatchCompleted,
        Self::BatchFailed,
        Self::BatchCancelled,
        Self::RunCompleted,
        Self::RunFailed,
        Self::RunCancelled,
        Self::StepFailed,
        Self::SubjectDeleted,
        Self::EntityApproved,
        Self::EntityRejected,
        Self::EntityArchived,
        Self::EntityEdited,
        Self::ImportCompleted,
        Self::ImportReverted,
        Self::EndpointDisabled,
        Self::TestPing,
    ];

    /// The name, as receivers get it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GenerationCompleted => "generation.completed",
            Self::GenerationIncomplete => "generation.incomplete",
            Self::GenerationFailed => "generation.failed",
            Self::GenerationCancelled => "generation.cancelled",
            Self::VersionCreated => "version.created",
            Self::BatchCompleted => "batch.completed",
            Self::BatchFailed => "batch.failed",
            Self::BatchCancelled => "batch.cancelled",
            Self::RunCompleted => "run.completed",
            Self::RunFailed => "run.failed",
            Self::RunCancelled => "run.cancelled",
            Self::StepFailed => "step.failed",
            Self::SubjectDeleted => "subject.deleted",
            Self::EntityApproved => "entity.approved",
            Self::EntityRejected => "entity.rejected",
            Self::EntityArchived => "entity.archived",
            Self::EntityEdited => "entity.edited",
            Self::ImportCompleted => "import.completed",
            Self::ImportReverted => "import.reverted",
            Self::EndpointDisabled => "endpoint.disabled",
            Self::TestPing => "test.ping",
        }
    }

    /// The filter of all types that happen to the same; `None`: receivers get it unasked.
    #[must_use]
    pub const fn family(self) -> Option<&'static str> {
        Some(match self {
            Self::GenerationCompleted | Self::GenerationIncomplete | Self::GenerationFailed | Self::GenerationCancelled => {
                "generation.*"
            }
            Self::VersionCreated => "version.*",
            Self::BatchCompleted | Self::BatchFailed | Self::BatchCancelled => "batch.*",
            Self::RunCompleted | Self::RunFailed | Self::RunCancelled => "run.*",
            Self::StepFailed => "step.*",
            Self::SubjectDeleted => "subject.*",
            Self::EntityApproved | Self::EntityRejected | Self::EntityArchived | Self::EntityEdited => "entity.*",
            Self::ImportCompleted | Self::ImportReverted => "import.*",
            Self::EndpointDisabled => "endpoint.*",
            Self::TestPing => return None,
        })
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|event| event.as_str() == text);
        found.ok_or_else(|| format!("there is no event of the type {text:?}"))
    }
}

impl TryFrom<String> for EventType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<EventType> for String {
    fn from(event: EventType) -> Self {
        event.as_str().to_owned()
    }
}

/// That something has happened to an object of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The organization. Its row is listed by another name, under `organization`.
    #[serde(rename = "owner")]
    pub organization: Organization,
    /// Follows from the organization, the type and the object: however often it is made, it is one event.
    pub id: EventId,
    /// What has happened.
    #[serde(rename = "type")]
    pub event: EventType,
    /// The id of what it has happened to.
    pub object: String,
    /// When, RFC 3339.
    pub at: String,
    /// What receivers are told of the object: a JSON object as text, with its `id`. `DynamoDB` nests at most 32 levels, and JSON any number.
    pub data: String,
    /// The users in whose lists it appears.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserId>,
    /// Whether endpoints are told.
    pub webhook: bool,
}

impl Notification {
    /// What has happened to `object` at `at_ms`, the only time that something of this type can happen to it. `data` tells of the object
    /// what a receiver needs to decide whether to read it: its status and counts, no texts. `id` is added. Above
    /// [`NOTIFICATION_BYTES_MAX`] as JSON, `status` and `counts` are all that is told.
    #[must_use]
    pub fn new(
        organization: &Organization,
        event: EventType,
        object: &str,
        at_ms: i64,
        data: Map<String, Value>,
        to: &Notify,
    ) -> Self {
        let id = EventId::of(&[organization.as_str(), event.as_str(), object]);
        Self::with_id(id, organization, event, object, at_ms, data, to)
    }

    /// The same of something that may happen to `object` more than once: each moment is an event of its own.
    #[must_use]
    pub fn at_moment(
        organization: &Organization,
        event: EventType,
        object: &str,
        at_ms: i64,
        data: Map<String, Value>,
        to: &Notify,
    ) -> Self {
        let id = EventId::of(&[organization.as_str(), event.as_str(), object, &rfc3339(at_ms)]);
        Self::with_id(id, organization, event, object, at_ms, data, to)
    }

    /// The same of what has made `revision` of `object` at `at_ms`: each revision is an event of its own, also of an object that was deleted and
    /// made again, whose revisions begin anew.
    #[must_use]
    pub fn at_revision(
        organization: &Organization,
        event: EventType,
        (object, revision): (&str, u64),
        at_ms: i64,
        data: Map<String, Value>,
        to: &Notify,
    ) -> Self {
        let id = EventId::of(&[organization.as_str(), event.as_str(), object, &revision.to_string(), &rfc3339(at_ms)]);
        Self::with_id(id, organization, event, object, at_ms, data, to)
    }

    fn with_id(
        id: EventId,
        organization: &Organization,
        event: EventType,
        object: &str,
        at_ms: i64,
        mut data: Map<String, Value>,
        to: &Notify,
    ) -> Self {
        data.insert("id".to_owned(), object.into());
        if json_bytes(&data) > NOTIFICATION_BYTES_MAX as u64 {
            data.retain(|name, _| ["id", "status", "counts"].contains(&name.as_str()));
        }
        Self {
            organization: organization.clone(),
            id,
            event,
            object: object.to_owned(),
            at: rfc3339(at_ms),
            data: Value::Object(data).to_string(),
            users: to.users.clone(),
            webhook: to.webhook,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn types_read_back_from_their_names() {
        for event in EventType::ALL {
            assert_eq!(event.as_str().parse(), Ok(event));
        }
        assert!("batch.Completed".parse::<EventType>().is_err());
        let distinct: HashSet<EventType> = EventType::ALL.into_iter().collect();
        assert_eq!(distinct.len(), EventType::ALL.len());
    }

    #[test]
    fn of_an_object_that_is_told_at_length_its_status_and_counts_are_left() {
        let data = json!({ "status": "completed", "counts": { "failed": 2 }, "name": "n".repeat(NOTIFICATION_BYTES_MAX) });
        let organization = "acme".parse().unwrap();
        let data = data.as_object().cloned().unwrap();
        let told = Notification::new(&organization, EventType::BatchCompleted, "bat_1", 0, data, &Notify::default());
        assert_eq!(told.data, r#"{"status":"completed","counts":{"failed":2},"id":"bat_1"}"#);
    }

    proptest! {
        #[test]
        fn an_event_of_one_object_has_one_id_and_no_other_event_has_it(
            one in ("[a-c]{1,2}", 0_usize..10, "(bat|gen)_[a-c]{1,2}"),
            other in ("[a-c]{1,2}", 0_usize..10, "(bat|gen)_[a-c]{1,2}"),
            times in (0_i64..1_000_000, 0_i64..1_000_000),
        ) {
            let made = |(organization, event, object): &(String, usize, String), at_ms| {
                let data = json!({ "status": "completed" }).as_object().cloned().unwrap();
                Notification::new(&organization.parse().unwrap(), EventType::ALL[*event], object, at_ms, data, &Notify::default())
            };
            let (first, second) = (made(&one, times.0), made(&other, times.1));
            prop_assert_eq!(first.id == second.id, one == other);
            prop_assert_eq!(first.id.to_string().parse::<EventId>().unwrap(), first.id);
            let data: Value = serde_json::from_str(&first.data).unwrap();
            prop_assert_eq!(data, json!({ "id": one.2, "status": "completed" }));
        }
    }
}
