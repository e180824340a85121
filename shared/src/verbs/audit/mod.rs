//! The audit as callers see it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::app::App;
use crate::audit::{Action, Entry};
use crate::clock::millis;
use crate::error::Error;
use crate::generation::list_query::Order;
use crate::ids::{AuditId, GenerationId, Organization, SubjectId, UserId};
use crate::limits::{AUDIT_LATE_MAX, AUDIT_LIMIT_MAX, LIST_LIMIT_DEFAULT, LIST_SCAN_MAX};
use crate::verbs::generations::list::page_limit;

/// Which entries are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Those of this action.
    pub action: Option<Action>,
    /// Those about this subject, or what belongs to it.
    pub subject: Option<SubjectId>,
    /// Those about the object of this id.
    pub object: Option<String>,
    /// Those behind this one, in the order.
    pub after: Option<AuditId>,
    /// By time, or newest first.
    pub order: Order,
    /// How many, 1 to [`AUDIT_LIMIT_MAX`].
    pub limit: Option<usize>,
}

/// An entry as callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryView {
    /// Its id, by which entries sort.
    pub id: AuditId,
    /// Always `audit_entry`.
    #[serde(rename = "object", skip_deserializing, default = "object")]
    pub noun: &'static str,
    /// When, RFC 3339.
    pub at: String,
    /// What was done.
    pub action: Action,
    /// The kind of what it was done to: `subject`, `import`, `entity`, or `generation` where an attempt to import one has changed nothing.
    pub target: String,
    /// The id of that.
    pub target_id: String,
    /// The subject that it belongs to.
    pub subject: SubjectId,
    /// The generation that it is about.
    pub generation: Option<GenerationId>,
    /// The revision that it has made; 0: none.
    pub revision: u64,
    /// The id of the API key that acted.
    pub actor: Option<String>,
    /// The user whom the key is named after.
    pub user: Option<UserId>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// What it was before, without content.
    pub before: Map<String, Value>,
    /// What it is since, without content.
    pub after: Map<String, Value>,
}

/// A page of the audit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Entries. With filters, a page may have fewer than there are, and none.
    pub data: Vec<EntryView>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page: the last one that was looked at. At the end of ascending entries it stays [`AUDIT_LATE_MAX`] behind the clock,
    /// so that nothing is missed by going on from it later; what is younger is then listed again.
    pub last_id: Option<AuditId>,
}

const fn object() -> &'static str {
    "audit_entry"
}

const fn list() -> &'static str {
    "list"
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            noun: object(),
            at: entry.at,
            action: entry.action,
            target: entry.kind,
            target_id: entry.object,
            subject: entry.subject,
            generation: entry.generation,
            revision: entry.revision,
            actor: entry.actor,
            user: entry.user,
            request_id: entry.request_id,
            note: entry.note,
            before: serde_json::from_str(&entry.before).unwrap_or_default(),
            after: serde_json::from_str(&entry.after).unwrap_or_default(),
        }
    }
}

impl AuditQuery {
    fn selects(&self, entry: &Entry) -> bool {
        self.action.is_none_or(|action| action == entry.action)
            && self.subject.as_ref().is_none_or(|subject| *subject == entry.subject)
            && self.object.as_ref().is_none_or(|object| *object == entry.object)
    }

    const fn has_filter(&self) -> bool {
        self.action.is_some() || self.subject.is_some() || self.object.is_some()
    }
}

impl App {
    /// A page of an organization's audit. Filters look at [`LIST_SCAN_MAX`] entries at most, or as many as the limit.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: the limit. [`Error::Aws`].
    pub async fn audit(&self, organization: &Organization, query: &AuditQuery) -> Result<AuditList, Error> {
        let limit = page_limit(query.limit, LIST_LIMIT_DEFAULT, AUDIT_LIMIT_MAX)?;
        let is_ascending = query.order == Order::Ascending;
        let mut page = AuditList { object: list(), data: Vec::new(), has_more: true, last_id: query.after.clone() };
        let (mut selected, mut scanned) = (Vec::new(), 0);
        while page.has_more && selected.len() < limit && scanned < LIST_SCAN_MAX.max(limit) {
            let most = if query.has_filter() { AUDIT_LIMIT_MAX } else { limit - selected.len() };
            let found = self.records.audit(organization, page.last_id.as_ref(), is_ascending, most).await?;
            page.has_more = found.has_more;
            scanned += found.entries.len();
            for entry in found.entries {
                if selected.len() == limit {
                    page.has_more = true;
                    break;
                }
                page.last_id = Some(entry.id.clone());
                if query.selects(&entry) {
                    selected.push(entry);
                }
            }
        }
        self.records.add_notes(organization, &mut selected).await?;
        page.data = selected.into_iter().map(EntryView::from).collect();
        if is_ascending && !page.has_more {
            // An entry gets its id before its transaction is written, and may appear behind one that is younger.
            let settled = AuditId::first_at(self.clock.now_ms() - millis(AUDIT_LATE_MAX));
            page.last_id = page.last_id.map(|last| last.min(settled));
        } else {
            page.last_id = page.last_id.filter(|_| page.has_more || !page.data.is_empty());
        }
        Ok(page)
    }
}
