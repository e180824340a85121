//! Imports of generations, and the attempts that their generations tell of.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use serde::{Deserialize, Serialize};

use super::Records;
use super::key::{self, IMPORT_ATTEMPTS, IMPORTS, Key};
use super::transactions::{IntoItem, Transacted};
use crate::audit::Entry;
use crate::aws::buffer::packing;
use crate::aws::clients::unexpected;
use crate::aws::tables::{Item, query_page};
use crate::error::Error;
use crate::ids::{AuditId, GenerationKey, ImportId, Organization, SubjectKey};
use crate::imports::{Attempt, Import, ImportState};
use crate::notifications::Notification;

const QUERY: &str = "dynamodb Query";

/// The result of [`Records::change_import`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportWritten {
    /// It is written.
    Stored,
    /// The import has changed since it was read, or the subject is gone; nothing is written.
    Changed,
}

/// A change of an import.
#[derive(Debug, Clone, Copy)]
pub struct ImportChange<'a> {
    /// The revision that it was made from; 0: there was no such import.
    pub from: u64,
    /// What the import is since.
    pub import: &'a Import,
    /// The entry in the audit.
    pub entry: &'a Entry,
    /// What its generation tells of it.
    pub attempt: Option<&'a Attempt>,
    /// What receivers are told.
    pub told: Option<&'a Notification>,
}

/// An import that was begun, and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenImport {
    /// The subject.
    pub subject: SubjectKey,
    /// The import.
    pub import: ImportId,
}

/// An import's row: the report is compressed, for it has hundreds of names.
#[derive(Serialize, Deserialize)]
struct ImportRow {
    /// Partition key of the sparse index `by_open`, while it is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<String>,
    /// Its sort key. Present for as long as `open` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_at: Option<String>,
    #[serde(flatten)]
    import: Import,
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    packed: Option<Vec<u8>>,
}

impl ImportRow {
    fn new(organization: &Organization, import: &Import) -> Result<Self, Error> {
        let is_open = import.state == ImportState::Started;
        let packed = import.report.as_deref().map(|report| packing::deflate(report.as_bytes())).transpose()?;
        Ok(Self {
            open: is_open.then(|| key::job_shard(organization)),
            open_at: is_open.then(|| key::open_at(organization, &import.begun_at)),
            import: Import { report: None, ..import.clone() },
            packed,
        })
    }

    fn into_import(self) -> Result<Import, Error> {
        let Some(packed) = self.packed else { return Ok(self.import) };
        let report = String::from_utf8(packing::inflate(&packed)?).map_err(|error| unexpected(QUERY, error))?;
        Ok(Import { report: Some(report), ..self.import })
    }
}

impl Records {
    /// Writes the next state of an import, with its entry in the audit.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn change_import(&self, key: &SubjectKey, change: ImportChange<'_>) -> Result<ImportWritten, Error> {
        let row = ImportRow::new(&key.organization, change.import)?;
        let mut items = vec![self.put_revision(Key::Import(key, &change.import.id), &row, change.from)?.into_item()];
        items.extend(self.audit_items(&key.organization, change.entry)?);
        items.push(self.subject_check(key)?);
        if let Some(attempt) = change.attempt {
            let generation = GenerationKey::new(key.organization.clone(), change.import.generation.clone());
            items.push(self.put_in_transaction(Key::ImportAttempt(&generation, &attempt.id), attempt, None)?.into_item());
        }
        items.extend(change.told.map(|told| self.notification_put(told)).transpose()?);
        Ok(match self.transact(items).await? {
            Transacted::Done => ImportWritten::Stored,
            Transacted::Refused(_) => ImportWritten::Changed,
        })
    }

    /// An import.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn import(&self, key: &SubjectKey, id: &ImportId) -> Result<Option<Import>, Error> {
        let row: Option<ImportRow> = self.get_row(Key::Import(key, id)).await?;
        row.map(ImportRow::into_import).transpose()
    }

    /// The imports of a subject behind `after`, by their ids, and whether there may be more.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn imports(&self, key: &SubjectKey, after: Option<&ImportId>, limit: usize) -> Result<(Vec<Import>, bool), Error> {
        let query = self.dynamodb.query().table_name(&self.table);
        let query = query
            .key_condition_expression("pk = :pk AND begins_with(sk, :imports)")
            .expression_attribute_values(":pk", AttributeValue::S(key.partition()))
            .expression_attribute_values(":imports", AttributeValue::S(IMPORTS.into()))
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after.map(|after| Key::Import(key, after).item()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page = query_page(query, &self.meter).await?;
        let has_more = page.last_evaluated_key.is_some();
        let imports = page.items.unwrap_or_default().into_iter().map(|row: Item| {
            let row: ImportRow = serde_dynamo::from_item(row).map_err(|error| unexpected(QUERY, error))?;
            row.into_import()
        });
        Ok((imports.collect::<Result<_, Error>>()?, has_more))
    }

    /// Writes an attempt that has changed no import, with its entry in the audit. `false`: there is an entry of this id.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn add_attempt(&self, key: &GenerationKey, attempt: &Attempt, entry: &Entry) -> Result<bool, Error> {
        let mut items = vec![self.put_in_transaction(Key::ImportAttempt(key, &attempt.id), attempt, None)?.into_item()];
        items.extend(self.audit_items(&key.organization, entry)?);
        Ok(self.transact(items).await? == Transacted::Done)
    }

    /// The attempts to import a generation behind `after`, oldest first, and whether there may be more.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn import_attempts(
        &self,
        key: &GenerationKey,
        after: Option<&AuditId>,
        limit: usize,
    ) -> Result<(Vec<Attempt>, bool), Error> {
        let query = self.dynamodb.query().table_name(&self.table);
        let query = query
            .key_condition_expression("pk = :pk AND begins_with(sk, :attempts)")
            .expression_attribute_values(":pk", AttributeValue::S(key.partition()))
            .expression_attribute_values(":attempts", AttributeValue::S(IMPORT_ATTEMPTS.into()))
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after.map(|after| Key::ImportAttempt(key, after).item()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page = query_page(query, &self.meter).await?;
        let has_more = page.last_evaluated_key.is_some();
        let read = |row| serde_dynamo::from_item(row).map_err(|error| unexpected(QUERY, error));
        Ok((page.items.unwrap_or_default().into_iter().map(read).collect::<Result<_, _>>()?, has_more))
    }
}
