//! Notifications, from the moment that one is written; users' lists; and which topics an organization's endpoints want.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValue, Select, TransactWriteItem};
use serde::{Deserialize, Serialize};

use super::key::{self, BY_ORGANIZATION, Key};
use super::transactions::{IntoItem, Transacted};
use super::{IS_NEW, Records};
use crate::aws::clients::unexpected;
use crate::aws::tables::{Item, delete_all, query_all, query_page, query_partition, touched, update_where};
use crate::clock::{millis_of, rfc3339};
use crate::error::Error;
use crate::ids::{EventId, InboxId, Organization, UserId};
use crate::limits::{INBOX_TTL, NOTIFICATION_TTL};
use crate::notifications::Notification;
use crate::notifications::inbox::{Entry, Preferences};
use crate::notifications::subscriptions::{Topic, Topics, with_newer};
use crate::quota::Quota;

/// A page of a user's list.
#[derive(Debug, Clone, Default)]
pub struct InboxPage {
    /// Entries, newest first.
    pub entries: Vec<Entry>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The last one that was looked at.
    pub last: Option<InboxId>,
}

/// What an organization has set, in one row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Settings {
    /// Its own quota.
    #[serde(flatten)]
    pub quota: Quota,
    /// The topics that its endpoints want.
    #[serde(default)]
    pub topics: Topics,
    /// How many of [`Topic::ALL`] were known when the topics of all its endpoints were last told.
    #[serde(default = "known_at_first")]
    pub topics_known: usize,
    /// Counts what was added to the topics.
    #[serde(default)]
    pub topics_revision: u64,
    /// Until when it starts nothing new, in milliseconds since the epoch.
    #[serde(default)]
    pub maintenance_until_ms: Option<i64>,
}

#[derive(Serialize)]
struct NotificationRow<'a> {
    #[serde(flatten)]
    notification: &'a Notification,
    /// Partition key of [`BY_ORGANIZATION`].
    organization: String,
    /// Its sort key.
    generation: String,
    /// Epoch seconds.
    expires_at: i64,
}

/// What is stored of an [`Entry`] beside its key.
#[derive(Serialize)]
struct EntryRow<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    expires_at: i64,
}

#[derive(Deserialize)]
struct EventOnly {
    pk: String,
}

impl Records {
    /// The put of a notification, for the transaction that makes it true. A second one is refused, and cancels its transaction: what ends
    /// twice has ended before. Costs four write units where it is told within a kilobyte, and nothing more where nobody is told.
    ///
    /// # Errors
    /// [`Error::Aws`]: it cannot be written as an item.
    pub fn notification_put(&self, notification: &Notification) -> Result<TransactWriteItem, Error> {
        let at = millis_of(&notification.at).unwrap_or_default();
        let row = NotificationRow {
            notification,
            organization: key::events_of(&notification.organization),
            generation: format!("{}#{}", rfc3339(at), notification.id),
            expires_at: at / 1_000 + NOTIFICATION_TTL.as_secs().cast_signed(),
        };
        let key = Key::Notification(&notification.organization, &notification.id);
        Ok(self.put_in_transaction(key, &row, Some(IS_NEW))?.into_item())
    }

    /// Writes a notification by itself. `false`: it was written before.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_notification(&self, notification: &Notification) -> Result<bool, Error> {
        Ok(self.transact(vec![self.notification_put(notification)?]).await? == Transacted::Done)
    }

    /// A notification.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn notification(&self, organization: &Organization, event: &EventId) -> Result<Option<Notification>, Error> {
        self.get_row(Key::Notification(organization, event)).await
    }

    /// The ids of an organization's notifications since `since_ms`, oldest first.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn notifications_since(&self, organization: &Organization, since_ms: i64) -> Result<Vec<EventId>, Error> {
        let query = self.dynamodb.query().table_name(&self.table).index_name(BY_ORGANIZATION);
        let query = query
            .key_condition_expression("organization = :organization AND generation >= :since")
            .expression_attribute_values(":organization", AttributeValue::S(key::events_of(organization)))
            .expression_attribute_values(":since", AttributeValue::S(rfc3339(since_ms)))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let rows = query_all(query, &self.meter).await?;
        let read = |row: Item| {
            let EventOnly { pk } = serde_dynamo::from_item(row).map_err(|error| unexpected("dynamodb Query", error))?;
            let event = pk.rsplit_once(':').map(|(_, event)| event.parse()).transpose();
            event.ok().flatten().ok_or_else(|| unexpected("dynamodb Query", format!("{pk} is no notification's")))
        };
        rows.into_iter().map(read).collect()
    }

    /// Puts an entry into a user's list. The same one again changes nothing.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_entry(&self, organization: &Organization, user: &UserId, entry: &Entry) -> Result<(), Error> {
        let at = millis_of(&entry.at).unwrap_or_default() / 1_000;
        let row = EntryRow { entry, expires_at: at + INBOX_TTL.as_secs().cast_signed() };
        let put = self.put_in_transaction(Key::Inbox(organization, user, &entry.id), &row, Some(IS_NEW))?;
        self.put_alone(put).await.map(drop)
    }

    /// A user's entries, newest first, those older than `after`; with `unread`, those that the user has not read. `now` in epoch seconds:
    /// what has expired is left out.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn entries(
        &self,
        organization: &Organization,
        user: &UserId,
        after: Option<&InboxId>,
        unread: bool,
        limit: usize,
        now: i64,
    ) -> Result<InboxPage, Error> {
        let (mut page, mut start) = (InboxPage { has_more: true, ..InboxPage::default() }, None);
        let last = after.map_or_else(|| format!("{}\u{7f}", key::INBOX), ToString::to_string);
        while page.entries.len() <= limit && page.has_more {
            let filter = if unread { "expires_at > :now AND attribute_not_exists(read_at)" } else { "expires_at > :now" };
            let query = self
                .dynamodb
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
                .filter_expression(filter)
                .expression_attribute_values(":pk", AttributeValue::S(key::inbox(organization, user)))
                .expression_attribute_values(":first", AttributeValue::S(key::INBOX.into()))
                .expression_attribute_values(":last", AttributeValue::S(last.clone()))
                .expression_attribute_values(":now", AttributeValue::N(now.to_string()))
                .scan_index_forward(false)
                .limit(i32::try_from(limit + 2).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let found = query_page(query, &self.meter).await?;
            for row in found.items.unwrap_or_default() {
                let entry: Entry = serde_dynamo::from_item(row).map_err(|error| unexpected("dynamodb Query", error))?;
                if Some(&entry.id) != after {
                    page.entries.push(entry);
                }
            }
            start = found.last_evaluated_key;
            page.has_more = start.is_some();
        }
        page.has_more |= page.entries.len() > limit;
        page.entries.truncate(limit);
        page.last = page.entries.last().map(|entry| entry.id.clone());
        Ok(page)
    }

    /// How many entries a user has not read, counted up to `enough`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn unread(&self, organization: &Organization, user: &UserId, enough: usize, now: i64) -> Result<usize, Error> {
        let query = query_partition(&self.dynamodb, &self.table, key::inbox(organization, user))
            .key_condition_expression("pk = :pk AND begins_with(sk, :first)")
            .filter_expression("expires_at > :now AND attribute_not_exists(read_at)")
            .expression_attribute_values(":first", AttributeValue::S(key::INBOX.into()))
            .expression_attribute_values(":now", AttributeValue::N(now.to_string()))
            .select(Select::Count);
        let (mut unread, mut start) = (0, None);
        while unread < enough {
            let page = query_page(query.clone().set_exclusive_start_key(start), &self.meter).await?;
            unread += usize::try_from(page.count()).unwrap_or(0);
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        Ok(unread.min(enough))
    }

    /// Marks an entry as read. `false`: there is none, or it was read before.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn mark_read(&self, organization: &Organization, user: &UserId, id: &InboxId, at: &str) -> Result<bool, Error> {
        let update = self.dynamodb.update_item().table_name(&self.table);
        let update = update
            .set_key(Some(Key::Inbox(organization, user, id).item()))
            .update_expression("SET read_at = :at")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(read_at)")
            .expression_attribute_values(":at", AttributeValue::S(at.to_owned()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        update_where(update, &self.meter).await
    }

    /// Deletes a user's list and preferences.
    ///
    /// # Errors
    /// [`Error::Aws`]; the same call deletes the rest.
    pub async fn delete_inbox(&self, organization: &Organization, user: &UserId) -> Result<usize, Error> {
        let query = query_partition(&self.dynamodb, &self.table, key::inbox(organization, user)).projection_expression("pk, sk");
        let rows = query_all(query.consistent_read(true), &self.meter).await?;
        delete_all(&self.dynamodb, &self.table, &rows, &self.meter).await?;
        Ok(rows.len())
    }

    /// A user's preferences, if there are any.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn preferences(&self, organization: &Organization, user: &UserId) -> Result<Option<Preferences>, Error> {
        self.get_row(Key::Preferences(organization, user)).await
    }

    /// Sets a user's preferences, in place of any other.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_preferences(&self, organization: &Organization, user: &UserId, to: &Preferences) -> Result<(), Error> {
        self.put(Key::Preferences(organization, user), to).await
    }

    /// What an organization has set.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn settings(&self, organization: &Organization) -> Result<Settings, Error> {
        let row: Option<Settings> = self.get_row(Key::Quota(organization)).await?;
        let settings = row.unwrap_or_default();
        Ok(Settings { topics: with_newer(settings.topics, settings.topics_known), ..settings })
    }

    /// Sets until when an organization starts nothing new; `None`: it does.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_maintenance(&self, organization: &Organization, until_ms: Option<i64>) -> Result<(), Error> {
        let update = self.dynamodb.update_item().table_name(&self.table).set_key(Some(Key::Quota(organization).item()));
        let update = match until_ms {
            None => update.update_expression("REMOVE maintenance_until_ms"),
            Some(until_ms) => update
                .update_expression("SET maintenance_until_ms = :until")
                .expression_attribute_values(":until", AttributeValue::N(until_ms.to_string())),
        };
        touched(update.return_consumed_capacity(ReturnConsumedCapacity::Total), &self.meter).await.map(drop)
    }

    /// Tells that the topics of an organization's endpoints, of all that this version knows, were told.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_topics_known(&self, organization: &Organization) -> Result<(), Error> {
        let update = self.dynamodb.update_item().table_name(&self.table).set_key(Some(Key::Quota(organization).item()));
        let update = update
            .update_expression("SET topics_known = :known")
            .expression_attribute_values(":known", AttributeValue::N(Topic::ALL.len().to_string()))
            .return_values(ReturnValue::None)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        touched(update, &self.meter).await.map(drop)
    }

    /// Adds topics to those of an organization's endpoints.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn add_topics(&self, organization: &Organization, topics: &Topics) -> Result<(), Error> {
        if topics.is_empty() {
            return Ok(());
        }
        let update = self.dynamodb.update_item().table_name(&self.table).set_key(Some(Key::Quota(organization).item()));
        let update = update
            .update_expression("ADD topics :topics, topics_revision :one")
            .expression_attribute_values(":topics", set_of(topics))
            .expression_attribute_values(":one", AttributeValue::N("1".into()))
            .return_values(ReturnValue::None)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        touched(update, &self.meter).await.map(drop)
    }

    /// Takes topics away that no endpoint wants any more, unless some were added since `revision`. `false`: some were.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn remove_topics(&self, organization: &Organization, topics: &Topics, revision: u64) -> Result<bool, Error> {
        if topics.is_empty() {
            return Ok(true);
        }
        let update = self.dynamodb.update_item().table_name(&self.table).set_key(Some(Key::Quota(organization).item()));
        let update = update
            .update_expression("DELETE topics :topics")
            .condition_expression("topics_revision = :revision")
            .expression_attribute_values(":topics", set_of(topics))
            .expression_attribute_values(":revision", AttributeValue::N(revision.to_string()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        update_where(update, &self.meter).await
    }
}

const fn known_at_first() -> usize {
    Topic::KNOWN_AT_FIRST
}

fn set_of(topics: &Topics) -> AttributeValue {
    AttributeValue::Ss(topics.iter().map(|topic| topic.as_str().to_owned()).collect())
}
