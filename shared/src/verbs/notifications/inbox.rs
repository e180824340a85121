//! Users' lists: read, marked as read, and what goes into them.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::ids::{InboxId, Organization, UserId};
use crate::limits::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, READ_AT_ONCE, UNREAD_COUNTED_MAX};
use crate::notifications::body::WhichRead;
use crate::notifications::inbox::{Entry, Preferences};
use crate::verbs::generations::list::page_limit;

/// A page of a user's list, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Inbox {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Whose it is.
    pub user: UserId,
    /// Entries that the user has not read, counted up to [`UNREAD_COUNTED_MAX`].
    pub unread: usize,
    /// Them.
    pub data: Vec<Entry>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page.
    pub last_id: Option<InboxId>,
}

/// What was marked as read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedRead {
    /// Always `notifications.read`.
    #[serde(skip_deserializing, default = "marked")]
    pub object: &'static str,
    /// Entries that were not read before.
    pub read: usize,
    /// Entries that are left, counted up to [`UNREAD_COUNTED_MAX`].
    pub unread: usize,
}

const fn list() -> &'static str {
    "list"
}

const fn marked() -> &'static str {
    "notifications.read"
}

impl App {
    /// A page of a user's list, those behind `after`; with `unread`, what the user has not read.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: `limit` is out of bounds. [`Error::Aws`].
    pub async fn inbox(
        &self,
        organization: &Organization,
        user: &UserId,
        unread: bool,
        after: Option<InboxId>,
        limit: Option<usize>,
    ) -> Result<Inbox, Error> {
        let limit = page_limit(limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        let now = self.clock.now_ms() / 1_000;
        let page = self.records.entries(organization, user, after.as_ref(), unread, limit, now).await?;
        let count = self.records.unread(organization, user, UNREAD_COUNTED_MAX, now).await?;
        let user = user.clone();
        Ok(Inbox { object: "list", user, unread: count, data: page.entries, has_more: page.has_more, last_id: page.last })
    }

    /// Marks entries of a user's list as read. Of all, at most [`READ_AT_ONCE`] in one call: `unread` says how many are left.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn mark_read(&self, organization: &Organization, user: &UserId, which: WhichRead) -> Result<MarkedRead, Error> {
        let now = self.clock.now_ms();
        let ids = match which {
            WhichRead::Ids(ids) => ids,
            WhichRead::All => {
                let page = self.records.entries(organization, user, None, true, READ_AT_ONCE, now / 1_000).await?;
                page.entries.into_iter().map(|entry| entry.id).collect()
            }
        };
        let mut read = 0;
        for id in &ids {
            read += usize::from(self.records.mark_read(organization, user, id, &rfc3339(now)).await?);
        }
        let unread = self.records.unread(organization, user, UNREAD_COUNTED_MAX, now / 1_000).await?;
        Ok(MarkedRead { object: "notifications.read", read, unread })
    }

    /// What a user wants to be told; without preferences of their own, all.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn preferences(&self, organization: &Organization, user: &UserId) -> Result<Preferences, Error> {
        let own = self.records.preferences(organization, user).await?;
        Ok(own.unwrap_or_else(|| Preferences::new("*".parse().into_iter().collect())))
    }

    /// Sets what a user wants to be told.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn set_preferences(
        &self,
        organization: &Organization,
        user: &UserId,
        to: Preferences,
    ) -> Result<Preferences, Error> {
        self.records.put_preferences(organization, user, &to).await?;
        Ok(to)
    }

    /// Deletes a user's list and preferences, for good; returns how many rows there were.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn delete_inbox(&self, organization: &Organization, user: &UserId) -> Result<usize, Error> {
        self.records.delete_inbox(organization, user).await
    }
}
