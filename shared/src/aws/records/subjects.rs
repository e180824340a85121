//! Subjects and their versions.

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, ReturnConsumedCapacity, ReturnValue, TransactWriteItem, Update,
};
use serde::{Deserialize, Serialize};

use super::key::{self, BY_ORGANIZATION, Key};
use super::transactions::{IntoItem, Transacted};
use super::{IS_NEW, Records};
use crate::audit::Entry;
use crate::aws::clients::{aws_error, unexpected};
use crate::aws::tables::{Item, delete_all, query_all, query_page, query_partition, touched};
use crate::error::Error;
use crate::ids::{GenerationId, GenerationKey, Organization, RunId, SubjectId, SubjectKey};
use crate::notifications::Notification;
use crate::subjects::Subject;
use crate::subjects::version::{Change, Version};

/// Versions that one transaction deletes.
pub const VERSIONS_DELETED_AT_ONCE: usize = 50;
const TRANSACT: &str = "dynamodb TransactWriteItems";
const UPDATE: &str = "dynamodb UpdateItem";

/// The result of [`Records::add_version`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// The version is stored, and current.
    Stored,
    /// The subject has changed since it was read, or is being deleted.
    Changed,
    /// The generation has a version already.
    Known,
    /// The version that is to be restored is gone.
    SourceGone,
}

/// What the deletion of a subject begins with.
#[derive(Debug, Clone, Copy)]
pub struct SubjectDeletion<'a> {
    /// The revision of its acceptance that was read; `None`: there was none.
    pub accepted: Option<u64>,
    /// The generation whose record tells no more that it is accepted.
    pub generation: Option<&'a GenerationId>,
    /// The entry in the audit.
    pub entry: &'a Entry,
    /// What receivers are told.
    pub told: Option<&'a Notification>,
}

/// A page of subjects.
#[derive(Debug, Default)]
pub struct SubjectPage {
    /// Them, by name.
    pub subjects: Vec<(SubjectId, Subject)>,
    /// The last name that was looked at.
    pub last: Option<SubjectId>,
    /// Whether there are more.
    pub has_more: bool,
}

/// What has become a version, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionSource<'a> {
    /// A generation.
    Generation(&'a GenerationId),
    /// A run.
    Run(&'a RunId),
}

impl<'a> VersionSource<'a> {
    /// That of a change; `None`: a person makes it, as often as they want to.
    #[must_use]
    pub const fn of(change: &'a Change) -> Option<Self> {
        match change {
            Change::Generation(generation) => Some(Self::Generation(generation)),
            Change::Run(run) => Some(Self::Run(run)),
            Change::Edit { .. } | Change::Restoration { .. } => None,
        }
    }

    const fn key(self, subject: &'a SubjectKey) -> Key<'a> {
        match self {
            Self::Generation(generation) => Key::VersionOf(subject, generation),
            Self::Run(run) => Key::VersionOfRun(subject, run),
        }
    }
}

/// The number of the version that a generation or a run has become.
#[derive(Serialize, Deserialize)]
pub(super) struct VersionOfRow {
    pub number: u64,
}

/// A row whose key is all that is read of it.
#[derive(Deserialize)]
struct KeyOnly {
    generation: SubjectId,
}

impl Records {
    /// The subject, also while it is being deleted.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn subject(&self, key: &SubjectKey) -> Result<Option<Subject>, Error> {
        self.get_row(Key::Subject(key)).await
    }

    /// Notes the generation that is started for a subject, which appears with it; returns the subject. `None`: it is being deleted.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn note_start(&self, key: &SubjectKey, generation: &GenerationId, at: &str) -> Result<Option<Subject>, Error> {
        let [organization, subject] = listed(key);
        let update = self
            .dynamodb
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::Subject(key).item()))
            .update_expression(
                "SET last_generation = :started, updated_at = :at, created_at = if_not_exists(created_at, :at), \
                 organization = :organization, generation = :subject",
            )
            .condition_expression("attribute_not_exists(deleting)")
            .expression_attribute_values(":started", AttributeValue::S(generation.to_string()))
            .expression_attribute_values(":at", AttributeValue::S(at.to_owned()))
            .expression_attribute_values(":organization", organization)
            .expression_attribute_values(":subject", subject)
            .return_values(ReturnValue::AllNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let Some(item) = touched(update, &self.meter).await? else { return Ok(None) };
        serde_dynamo::from_item(item).map(Some).map_err(|error| unexpected(UPDATE, error))
    }

    /// Writes the next state of a subject, in place of the one that was read at `revision`. `false`: it has changed since.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn change_subject(&self, key: &SubjectKey, revision: u64, next: &Subject) -> Result<bool, Error> {
        self.update_alone(self.subject_update(key, revision, next)?).await
    }

    /// Stores a version and the next state of its subject, which was read at `revision`; with them, that the version is the one of
    /// `source`. A version that restores another one needs that. `told` is written with it.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn add_version(
        &self,
        key: &SubjectKey,
        revision: u64,
        next: &Subject,
        version: &Version,
        source: Option<VersionSource<'_>>,
        told: Option<&Notification>,
    ) -> Result<Added, Error> {
        let mut items = vec![
            self.subject_update(key, revision, next)?.into_item(),
            self.put_in_transaction(Key::Version(key, version.number), version, Some(IS_NEW))?.into_item(),
        ];
        if let Some(source) = source {
            let row = VersionOfRow { number: version.number };
            items.push(self.put_in_transaction(source.key(key), &row, Some(IS_NEW))?.into_item());
        } else if let Some(source) = version.restored_from {
            let check = ConditionCheck::builder().table_name(&self.table).set_key(Some(Key::Version(key, source).item()));
            let check = check.condition_expression("attribute_exists(pk)").build();
            let check = check.map_err(|error| unexpected(TRANSACT, error))?;
            items.push(TransactWriteItem::builder().condition_check(check).build());
        }
        let has_third = items.len() > 2;
        items.extend(told.map(|told| self.notification_put(told)).transpose()?);
        Ok(match self.transact(items).await? {
            Transacted::Done => Added::Stored,
            Transacted::Refused(held) if has_third && held.get(2) == Some(&false) && source.is_some() => Added::Known,
            Transacted::Refused(held) if has_third && held.get(2) == Some(&false) => Added::SourceGone,
            Transacted::Refused(_) => Added::Changed,
        })
    }

    /// The version of this number.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn version(&self, key: &SubjectKey, number: u64) -> Result<Option<Version>, Error> {
        self.get_row(Key::Version(key, number)).await
    }

    /// The number of the version that a generation has become.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn version_of(&self, key: &SubjectKey, generation: &GenerationId) -> Result<Option<u64>, Error> {
        Ok(self.get_row(Key::VersionOf(key, generation)).await?.map(|VersionOfRow { number }| number))
    }

    /// The number of the version that a run's result has become.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn version_of_run(&self, key: &SubjectKey, run: &RunId) -> Result<Option<u64>, Error> {
        Ok(self.get_row(Key::VersionOfRun(key, run)).await?.map(|VersionOfRow { number }| number))
    }

    /// Versions with numbers from `from` to `to`, newest first or oldest first, up to `limit`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn versions(
        &self,
        key: &SubjectKey,
        (from, to): (u64, u64),
        is_ascending: bool,
        limit: usize,
    ) -> Result<Vec<Version>, Error> {
        if from > to {
            return Ok(Vec::new());
        }
        let sort = |number| AttributeValue::S(Key::Version(key, number).sort());
        let (mut versions, mut start) = (Vec::new(), None);
        loop {
            let query = self
                .dynamodb
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                .expression_attribute_values(":pk", AttributeValue::S(key.partition()))
                .expression_attribute_values(":from", sort(from))
                .expression_attribute_values(":to", sort(to))
                .scan_index_forward(is_ascending)
                .consistent_read(true)
                .limit(i32::try_from(limit.saturating_sub(versions.len())).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let page = query_page(query, &self.meter).await?;
            for row in page.items.unwrap_or_default() {
                versions.push(serde_dynamo::from_item(row).map_err(|error| unexpected("dynamodb Query", error))?);
            }
            start = page.last_evaluated_key;
            if start.is_none() || versions.len() >= limit {
                return Ok(versions);
            }
        }
    }

    /// An organization's subjects whose names begin with `prefix`, by name, those behind `after` if it is given.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn subjects(
        &self,
        organization: &Organization,
        prefix: &str,
        after: Option<&SubjectId>,
        limit: usize,
    ) -> Result<SubjectPage, Error> {
        // U+007F sorts behind every character of a name.
        let first = after.map(SubjectId::as_str).filter(|after| *after >= prefix).unwrap_or(prefix);
        let last = format!("{prefix}\u{7f}");
        if first > last.as_str() {
            return Ok(SubjectPage::default());
        }
        let query = self.dynamodb.query().table_name(&self.table).index_name(BY_ORGANIZATION);
        let query = query
            .key_condition_expression("organization = :organization AND generation BETWEEN :first AND :last")
            .expression_attribute_values(":organization", AttributeValue::S(key::subjects_of(organization)))
            // No name is empty, and DynamoDB takes no empty one.
            .expression_attribute_values(":first", AttributeValue::S(if first.is_empty() { " ".into() } else { first.into() }))
            .expression_attribute_values(":last", AttributeValue::S(last))
            .limit(i32::try_from(limit + 2).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page = query_page(query, &self.meter).await?;
        let read = |item: &Item| serde_dynamo::from_item(item.clone()).map(|KeyOnly { generation }| generation);
        let names: Result<Vec<SubjectId>, _> = page.items().iter().map(read).collect();
        let mut names = names.map_err(|error| unexpected("dynamodb Query", error))?;
        names.retain(|name| Some(name) != after);
        let has_more = names.len() > limit;
        names.truncate(limit);
        let keys: Vec<SubjectKey> = names.iter().map(|name| SubjectKey::new(organization.clone(), name.clone())).collect();
        let rows = self.get_items(keys.iter().map(|key| Key::Subject(key).item()).collect()).await?;
        let mut subjects = Vec::with_capacity(rows.len());
        for row in rows {
            let KeyOnly { generation: name } =
                serde_dynamo::from_item(row.clone()).map_err(|error| unexpected("dynamodb item", error))?;
            let subject: Subject = serde_dynamo::from_item(row).map_err(|error| unexpected("dynamodb item", error))?;
            if !subject.deleting {
                subjects.push((name, subject));
            }
        }
        subjects.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(SubjectPage { subjects, last: names.pop(), has_more })
    }

    /// Deletes versions, and writes the next state of their subject, which was read at `revision`. `false`: it has changed since, and
    /// nothing is deleted.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn delete_versions(&self, key: &SubjectKey, revision: u64, next: &Subject, numbers: &[u64]) -> Result<bool, Error> {
        let mut items = vec![self.subject_update(key, revision, next)?.into_item()];
        for number in numbers {
            let delete = Delete::builder().table_name(&self.table).set_key(Some(Key::Version(key, *number).item())).build();
            let delete = delete.map_err(|error| unexpected(TRANSACT, error))?;
            items.push(TransactWriteItem::builder().delete(delete).build());
        }
        Ok(self.transact(items).await? == Transacted::Done)
    }

    /// Marks a subject as being deleted, from when on it takes no versions; with it, that nothing is accepted for it any more. `false`: it is
    /// gone, or has changed since it was read.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn mark_deleting(&self, key: &SubjectKey, deletion: SubjectDeletion<'_>) -> Result<bool, Error> {
        let fields = Item::from([("deleting".to_owned(), AttributeValue::Bool(true))]);
        let there = "attribute_exists(pk) AND attribute_not_exists(deleting)";
        let update = match deletion.accepted {
            None => {
                let condition = format!("{there} AND attribute_not_exists(accepted)");
                self.set_in_transaction(Key::Subject(key), fields, &condition, "", [], [])?
            }
            Some(revision) => {
                let condition = format!("{there} AND accepted.revision = :held");
                let held = AttributeValue::N(revision.to_string());
                self.set_in_transaction(Key::Subject(key), fields, &condition, "", [], [(":held", held)])?
            }
        };
        let mut items = vec![update.into_item()];
        items.extend(self.audit_items(&key.organization, deletion.entry)?);
        if let Some(generation) = deletion.generation {
            let record = GenerationKey::new(key.organization.clone(), generation.clone());
            items.push(self.replaced_record_update(&record, key, &deletion.entry.at)?.into_item());
        }
        items.extend(deletion.told.map(|told| self.notification_put(told)).transpose()?);
        Ok(self.transact(items).await? == Transacted::Done)
    }

    /// Deletes every row of a subject; its own row only where `with_head`.
    ///
    /// # Errors
    /// [`Error::Aws`]; the same call deletes the rest.
    pub async fn delete_subject_rows(&self, key: &SubjectKey, with_head: bool) -> Result<(), Error> {
        let head = Key::Subject(key).item();
        if with_head {
            let delete = self.dynamodb.delete_item().table_name(&self.table).set_key(Some(head));
            let deleted = delete.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
            self.meter.wrote(deleted.map_err(aws_error("dynamodb DeleteItem"))?.consumed_capacity());
            return Ok(());
        }
        let query = query_partition(&self.dynamodb, &self.table, key.partition()).projection_expression("pk, sk");
        let mut rows = query_all(query.consistent_read(true), &self.meter).await?;
        rows.retain(|row| *row != head);
        delete_all(&self.dynamodb, &self.table, &rows, &self.meter).await
    }

    /// The update of a subject's row from `revision` to its next state.
    fn subject_update(&self, key: &SubjectKey, revision: u64, next: &Subject) -> Result<Update, Error> {
        let mut fields: Item = serde_dynamo::to_item(next).map_err(|error| unexpected(UPDATE, error))?;
        let [organization, subject] = listed(key);
        fields.extend([("organization".to_owned(), organization), ("generation".to_owned(), subject)]);
        if revision == 0 {
            // No version and no caller has changed it yet, and there may be no row.
            let condition = "attribute_not_exists(deleting) AND attribute_not_exists(revision)";
            return self.set_in_transaction(Key::Subject(key), fields, condition, "", [], []);
        }
        let held = AttributeValue::N(revision.to_string());
        let condition = "attribute_not_exists(deleting) AND revision = :held";
        self.set_in_transaction(Key::Subject(key), fields, condition, "", [], [(":held", held)])
    }
}

/// What [`BY_ORGANIZATION`] lists a subject by.
pub(super) fn listed(key: &SubjectKey) -> [AttributeValue; 2] {
    [AttributeValue::S(key::subjects_of(&key.organization)), AttributeValue::S(key.subject.to_string())]
}
