//! The audit's entries.

use aws_sdk_dynamodb::types::Put;

use super::key::{self, Key};
use super::{IS_NEW, Records};
use crate::audit::Entry;
use crate::aws::clients::unexpected;
use crate::aws::tables::{query_page, query_partition};
use crate::error::Error;
use crate::ids::{AuditId, Organization};

/// A page of the audit.
#[derive(Debug, Clone, Default)]
pub struct AuditPage {
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Whether there may be more.
    pub has_more: bool,
}

impl Records {
    /// The put of an entry, for the transaction of the change that it tells.
    pub(super) fn audit_put(&self, organization: &Organization, entry: &Entry) -> Result<Put, Error> {
        self.put_in_transaction(Key::Audit(organization, &entry.id), entry, Some(IS_NEW))
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
