//! A user's list, and what the user wants in it.

use serde::{Deserialize, Serialize};

use super::endpoint::EventFilter;
use super::{EventType, Notification, render};
use crate::clock::millis_of;
use crate::ids::{EventId, InboxId};

/// An entry of a user's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub id: InboxId,
    /// Always `notification`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The event that it tells.
    pub event: EventId,
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// One sentence.
    pub title: String,
    /// The path of what it is about.
    #[serde(default)]
    pub link: Option<String>,
    /// When it happened, RFC 3339.
    pub at: String,
    /// When the user has read it, RFC 3339.
    #[serde(default)]
    pub read_at: Option<String>,
}

const fn object() -> &'static str {
    "notification"
}

impl Entry {
    /// The entry of an event. It has one id however often it is made.
    #[must_use]
    pub fn of(notification: &Notification) -> Self {
        let data = render::data_of(notification);
        Self {
            id: InboxId::of(millis_of(&notification.at).unwrap_or_default(), &notification.id),
            object: object(),
            event: notification.id.clone(),
            kind: notification.event,
            title: render::title(notification.event, &data),
            link: render::link(notification, &data),
            at: notification.at.clone(),
            read_at: None,
        }
    }
}

/// Of what a user is told, by which channel. There is one channel, the list; a user without preferences has all in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferences {
    /// Always `notification_preferences`.
    #[serde(skip_deserializing, default = "preferences")]
    pub object: &'static str,
    /// Types of events that are put into the list.
    pub inbox: Vec<EventFilter>,
}

const fn preferences() -> &'static str {
    "notification_preferences"
}

impl Preferences {
    /// The list, for these events.
    #[must_use]
    pub const fn new(inbox: Vec<EventFilter>) -> Self {
        Self { object: preferences(), inbox }
    }

    /// Whether an event is put into the list.
    #[must_use]
    pub fn wants(&self, event: EventType) -> bool {
        self.inbox.iter().any(|filter| filter.has(event.as_str()))
    }
}
