//! The audit's entries.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::TransactWriteItem;
use serde::{Deserialize, Serialize};

use super::key::{self, Key};
use super::listing::{BATCH_GET, BATCH_GET_MAX};
use super::transactions::IntoItem;
use super::{IS_NEW, Records};
use crate::audit::Entry;
use crate::aws::clients::unexpected;
use crate::aws::tables::{query_page, query_partition};
use crate::error::Error;
use crate::ids::{AuditId, Organization, SubjectKey};

/// The note of an entry.
#[derive(Serialize, Deserialize)]
pub(super) struct NoteRow {
    entry: AuditId,
    note: String,
}

impl NoteRow {
    /// `None`: the entry has no note.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        entry.note.clone().map(|note| Self { entry: entry.id.clone(), note })
    }
}

/// A page of the audit.
#[derive(Debug, Clone, Default)]
pub struct AuditPage {
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Whether there may be more.
    pub has_more: bool,
}

impl Records {
    /// The puts of an entry and of its note, for the transaction of the change that it tells.
    pub(super) fn audit_items(&self, organization: &Organization, entry: &Entry) -> Result<Vec<TransactWriteItem>, Error> {
        let mut items = vec![self.put_in_transaction(Key::Audit(organization, &entry.id), entry, Some(IS_NEW))?.into_item()];
        if let Some(row) = NoteRow::of(entry) {
            let subject = SubjectKey::new(organization.clone(), entry.subject.clone());
            items.push(self.put_in_transaction(Key::Note(&subject, &entry.id), &row, None)?.into_item());
        }
        Ok(items)
    }

    /// Gives entries their notes: those of subjects that are there.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn add_notes(&self, organization: &Organization, entries: &mut [Entry]) -> Result<(), Error> {
        let noted = entries.iter().filter(|entry| entry.has_note);
        let keys: Vec<_> = noted
            .map(|entry| Key::Note(&SubjectKey::new(organization.clone(), entry.subject.clone()), &entry.id).item())
            .collect();
        let mut notes = BTreeMap::new();
        for some in keys.chunks(BATCH_GET_MAX) {
            for row in self.get_items_at(some.to_vec(), true).await? {
                let NoteRow { entry, note } = serde_dynamo::from_item(row).map_err(|error| unexpected(BATCH_GET, error))?;
                notes.insert(entry, note);
            }
        }
        for entry in entries {
            entry.note = notes.remove(&entry.id);
        }
        Ok(())
    }

    /// The entries of an organization behind `after`, in the order of their time or newest first.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn audit(
        &self,
        organization: &Organization,
        after: Option<&AuditId>,
        is_ascending: bool,
        limit: usize,
    ) -> Result<AuditPage, Error> {
        let query = query_partition(&self.dynamodb, &self.table, key::audit(organization));
        let query = query
            .consistent_read(true)
            .scan_index_forward(is_ascending)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after.map(|after| Key::Audit(organization, after).item()));
        let page = query_page(query, &self.meter).await?;
        let has_more = page.last_evaluated_key.is_some();
        let read = |row| serde_dynamo::from_item(row).map_err(|error| unexpected("dynamodb Query", error));
        let entries = page.items.unwrap_or_default().into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(AuditPage { entries, has_more })
    }
}
