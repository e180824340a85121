//! The audit's entries.

use aws_sdk_dynamodb::types::Put;

use super::key::Key;
use super::{IS_NEW, Records};
use crate::audit::Entry;
use crate::error::Error;
use crate::ids::Organization;

impl Records {
    /// The put of an entry, for the transaction of the change that it tells.
    pub(super) fn audit_put(&self, organization: &Organization, entry: &Entry) -> Result<Put, Error> {
        self.put_in_transaction(Key::Audit(organization, &entry.id), entry, Some(IS_NEW))
    }
}
