//! Migrations: rows as they are stored, changes of them on the condition that they still are what they were, the runs, and their lock.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, ReturnConsumedCapacity, TransactWriteItem, Update};
use serde::{Deserialize, Serialize};

use super::audit::NoteRow;
use super::key::Key;
use super::subjects::{VersionOfRow, listed};
use super::transactions::{IntoItem, Transacted};
use super::{IS_NEW, RecordRow, Records, item};
use crate::acceptance::Acceptance;
use crate::audit::Entry;
use crate::aws::clients::{aws_error, unexpected};
use crate::aws::tables::{Item, query_all, query_partition, update_where};
use crate::error::Error;
use crate::hash::sha256_hex;
use crate::ids::{GenerationId, GenerationKey, MigrationId, Organization, SubjectKey};
use crate::migrations::plan::Counts;
use crate::migrations::{AttributeChange, Attributes, RowChange, RowKey, UnitReason};
use crate::subjects::Subject;
use crate::subjects::version::Version;

const TRANSACT: &str = "dynamodb TransactWriteItems";
const READ: &str = "dynamodb GetItem";
const QUERY: &str = "dynamodb Query";
/// By what a subject is closed while its undo looks whether others have added to it: the mark of a deletion, so that nothing is added, and
/// one that tells it from a deletion.
const CLOSED: [&str; 2] = ["deleting", "undoing"];

/// A run of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationRow {
    /// The migration's name, such as `backfill-accepted-prompt`.
    pub migration: String,
    /// What it is about: its source and settings. A run is resumed with the same.
    pub about: String,
    /// Its status.
    pub status: MigrationStatus,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When its status last changed, RFC 3339.
    pub updated_at: String,
    /// The hash of the plan that it began with.
    pub plan: String,
    /// The backup that was made before it.
    pub backup: String,
    /// Segments of its journal that are written to the table.
    pub segments: u64,
    /// The last unit of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The units of those.
    pub counts: Counts,
    /// Units that were refused, and planned anew in vain.
    #[serde(default)]
    pub refused: Vec<UnitReason>,
}

/// How far a run of a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationStatus {
    /// It writes, or was interrupted.
    Running,
    /// It has written everything.
    Done,
    /// It is being undone, or that was interrupted.
    Undoing,
    /// It is undone.
    Undone,
}

/// Who holds the lock of migrations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationLock {
    /// The process: a text that no other has.
    pub holder: String,
    /// The run.
    pub run: MigrationId,
    /// Until when it holds it, in milliseconds since the epoch, unless it renews that.
    pub until_ms: i64,
}

/// Where a row of another system is here. It stays when the generation is purged. Its attributes are those of no index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedRow {
    /// The organization here.
    pub imported_by: Organization,
    /// The generation here.
    pub imported_as: GenerationId,
}

/// A page of keys of records.
#[derive(Debug, Default)]
pub struct RecordsPage {
    /// Them.
    pub keys: Vec<GenerationKey>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<RowKey>,
}

fn row_key(key: Key<'_>) -> RowKey {
    RowKey { pk: key.partition(), sk: key.sort() }
}

fn key_item(key: &RowKey) -> Item {
    [("pk".to_owned(), AttributeValue::S(key.pk.clone())), ("sk".to_owned(), AttributeValue::S(key.sk.clone()))].into()
}

fn attributes(mut item: Item) -> Attributes {
    item.remove("pk");
    item.remove("sk");
    item.into_iter().map(|(name, value)| (name, value.into())).collect()
}

fn row<R: Serialize>(key: Key<'_>, of: &R) -> Result<(RowKey, Attributes), Error> {
    Ok((row_key(key), attributes(item(key, of)?)))
}

/// Rows as a migration writes them: the same as those that the product writes.
impl Records {
    /// A generation's record.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn record_row(record: &RecordRow) -> Result<(RowKey, Attributes), Error> {
        row(Key::Record(&record.key()), record)
    }

    /// The key of a generation's record.
    #[must_use]
    pub fn record_key(key: &GenerationKey) -> RowKey {
        row_key(Key::Record(key))
    }

    /// The key of a subject's row.
    #[must_use]
    pub fn subject_key(key: &SubjectKey) -> RowKey {
        row_key(Key::Subject(key))
    }

    /// The key of a subject's version.
    #[must_use]
    pub fn version_key(key: &SubjectKey, number: u64) -> RowKey {
        row_key(Key::Version(key, number))
    }

    /// The attributes of a subject's row under its revision, and what it is listed by. The others stay as they are.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn subject_attributes(key: &SubjectKey, subject: &Subject) -> Result<Attributes, Error> {
        let (_, mut fields) = row(Key::Subject(key), subject)?;
        // As the product writes it: a subject that nothing has changed has none, by which its first change tells that.
        if subject.revision == 0 {
            fields.remove("revision");
        }
        let [organization, subject] = listed(key);
        fields.extend([("organization".to_owned(), organization.into()), ("generation".to_owned(), subject.into())]);
        Ok(fields)
    }

    /// The attribute `accepted` of a subject's row.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn accepted_attribute(acceptance: &Acceptance) -> Result<serde_dynamo::AttributeValue, Error> {
        serde_dynamo::to_attribute_value(acceptance).map_err(|error| unexpected(TRANSACT, error))
    }

    /// A version, and the note of which generation it came from.
    ///
    /// # Errors
    /// They cannot be rendered.
    pub fn version_rows(
        key: &SubjectKey,
        version: &Version,
        generation: &GenerationId,
    ) -> Result<[(RowKey, Attributes); 2], Error> {
        let note = VersionOfRow { number: version.number };
        Ok([row(Key::Version(key, version.number), version)?, row(Key::VersionOf(key, generation), &note)?])
    }

    /// An entry of the audit, and its note.
    ///
    /// # Errors
    /// They cannot be rendered.
    pub fn audit_rows(organization: &Organization, entry: &Entry) -> Result<Vec<(RowKey, Attributes)>, Error> {
        let mut rows = vec![row(Key::Audit(organization, &entry.id), entry)?];
        if let Some(note) = NoteRow::of(entry) {
            rows.push(row(Key::Note(&SubjectKey::new(organization.clone(), entry.subject.clone()), &entry.id), &note)?);
        }
        Ok(rows)
    }

    /// Whether a row is the head of its partition, without which the others mean nothing: a generation's record or a subject.
    #[must_use]
    pub fn is_head(key: &RowKey) -> bool {
        key.sk == "record" || Self::is_subject(key)
    }

    /// Whether a row is a subject.
    #[must_use]
    pub fn is_subject(key: &RowKey) -> bool {
        key.sk == "subject"
    }

    /// A row without the marks that an undo has closed it with, and whether it had them.
    #[must_use]
    pub fn opened(mut row: Attributes) -> (Attributes, bool) {
        let [_, undoing] = CLOSED;
        let is_closed = row.contains_key(undoing);
        if is_closed {
            for mark in CLOSED {
                row.remove(mark);
            }
        }
        (row, is_closed)
    }

    /// The key of the note of where a row of another system is here.
    #[must_use]
    pub fn imported_key(origin: &[&str]) -> RowKey {
        row_key(Key::Imported(&sha256_hex(origin.join("\n"))))
    }

    /// That note.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn imported_row(origin: &[&str], note: &ImportedRow) -> Result<(RowKey, Attributes), Error> {
        row(Key::Imported(&sha256_hex(origin.join("\n"))), note)
    }

    /// A row as the type that the product reads it as.
    ///
    /// # Errors
    /// [`Error::Aws`]: it is of another form.
    pub fn read_row<R: serde::de::DeserializeOwned>(row: &Attributes) -> Result<R, Error> {
        let row: HashMap<String, serde_dynamo::AttributeValue> = row.clone().into_iter().collect();
        serde_dynamo::from_item(row).map_err(|error| unexpected(READ, error))
    }
}

impl Records {
    /// The attributes of a row, as they are stored now.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn stored_row(&self, key: &RowKey) -> Result<Option<Attributes>, Error> {
        let get = self.dynamodb.get_item().table_name(&self.table).set_key(Some(key_item(key))).consistent_read(true);
        let got = get.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.map_err(aws_error(READ))?;
        self.meter.read(got.consumed_capacity());
        Ok(got.item.map(attributes))
    }

    /// Writes changes of rows, all or none, each on the condition that its row is as before it, and that `holder` has the lock.
    /// `false`: one of them is not, or the lock is another's.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn write_changes(&self, rows: &[RowChange], holder: &str) -> Result<bool, Error> {
        let mut items = vec![self.lock_check(holder)?];
        for row in rows {
            items.push(if row.is_new { self.new_row(row)?.into_item() } else { self.changed_row(row)?.into_item() });
        }
        Ok(self.transact(items).await? == Transacted::Done)
    }

    /// Takes such changes back, on the condition that each row is as after its change. `false` as in [`Self::write_changes`].
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn undo_changes(&self, rows: &[RowChange], holder: &str) -> Result<bool, Error> {
        let mut items = vec![self.lock_check(holder)?];
        for row in rows {
            items.push(match row.inverse() {
                Some(inverse) => self.changed_row(&inverse)?.into_item(),
                None => self.gone_row(row)?,
            });
        }
        Ok(self.transact(items).await? == Transacted::Done)
    }

    fn lock_check(&self, holder: &str) -> Result<TransactWriteItem, Error> {
        let check = ConditionCheck::builder().table_name(&self.table).set_key(Some(Key::MigrationLock.item()));
        let check = check.condition_expression("holder = :holder").expression_attribute_values(":holder", text(holder)).build();
        let check = check.map_err(|error| unexpected(TRANSACT, error))?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }

    fn new_row(&self, row: &RowChange) -> Result<Put, Error> {
        let mut item = key_item(&row.key);
        let values = row.attributes.iter().filter_map(|(name, change)| Some((name.clone(), change.after.clone()?.into())));
        item.extend(values);
        let put = Put::builder().table_name(&self.table).set_item(Some(item)).condition_expression(IS_NEW).build();
        put.map_err(|error| unexpected(TRANSACT, error))
    }

    fn changed_row(&self, row: &RowChange) -> Result<Update, Error> {
        let (mut sets, mut removes) = (Vec::new(), Vec::new());
        let mut condition = Condition::of(row, |change| change.before.as_ref());
        for (number, change) in row.attributes.values().enumerate() {
            match &change.after {
                Some(value) => {
                    sets.push(format!("#n{number} = :a{number}"));
                    condition.values.insert(format!(":a{number}"), value.clone().into());
                }
                None => removes.push(format!("#n{number}")),
            }
        }
        let clause =
            |word: &str, parts: &[String]| if parts.is_empty() { String::new() } else { format!("{word} {} ", parts.join(", ")) };
        let update = Update::builder().table_name(&self.table).set_key(Some(key_item(&row.key)));
        let update = update.update_expression(clause("SET", &sets) + &clause("REMOVE", &removes));
        let update = update.condition_expression(condition.text).set_expression_attribute_names(Some(condition.names));
        let values = Some(condition.values).filter(|values| !values.is_empty());
        update.set_expression_attribute_values(values).build().map_err(|error| unexpected(TRANSACT, error))
    }

    fn gone_row(&self, row: &RowChange) -> Result<TransactWriteItem, Error> {
        let condition = Condition::of(row, |change| change.after.as_ref());
        let delete = Delete::builder().table_name(&self.table).set_key(Some(key_item(&row.key)));
        let delete = delete.condition_expression(condition.text).set_expression_attribute_names(Some(condition.names));
        let delete = delete.set_expression_attribute_values(Some(condition.values)).build();
        let delete = delete.map_err(|error| unexpected(TRANSACT, error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// A page of the records of generations that are accepted for a subject, by a scan of the table.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn accepted_records(&self, after: Option<&RowKey>, limit: i32) -> Result<RecordsPage, Error> {
        let page = self
            .dynamodb
            .scan()
            .table_name(&self.table)
            .filter_expression("sk = :record AND attribute_exists(accepted_subject)")
            .expression_attribute_values(":record", text("record"))
            .projection_expression("pk, sk")
            .consistent_read(true)
            .limit(limit)
            .set_exclusive_start_key(after.map(key_item))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(aws_error("dynamodb Scan"))?;
        self.meter.read(page.consumed_capacity());
        let word = |item: &Item, name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
        Ok(RecordsPage {
            keys: super::listing::generations(page.items()).collect(),
            next: page.last_evaluated_key().map(|key| RowKey { pk: word(key, "pk"), sk: word(key, "sk") }),
        })
    }

    /// A run.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn migration(&self, run: &MigrationId) -> Result<Option<MigrationRow>, Error> {
        self.get_row(Key::Migration(run)).await
    }

    /// Stores the state of a run, where `holder` has the lock. `false`: it does not.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_migration(&self, run: &MigrationId, row: &MigrationRow, holder: &str) -> Result<bool, Error> {
        let put = self.put_in_transaction(Key::Migration(run), row, None)?.into_item();
        Ok(self.transact(vec![self.lock_check(holder)?, put]).await? == Transacted::Done)
    }

    /// The runs that were begun after one, in their order.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn migrations_after(&self, run: &MigrationId) -> Result<Vec<(MigrationId, MigrationRow)>, Error> {
        let query = self.dynamodb.query().table_name(&self.table).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk AND sk > :run")
            .expression_attribute_values(":pk", text(&Key::Migration(run).partition()))
            .expression_attribute_values(":run", text(run.as_str()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let rows = query_all(query, &self.meter).await?.into_iter().map(|row| {
            let id = row.get("sk").and_then(|sk| sk.as_s().ok()).and_then(|sk| sk.parse().ok());
            let id = id.ok_or_else(|| unexpected(QUERY, "a run's row has no run's id"))?;
            Ok((id, serde_dynamo::from_item(row).map_err(|error| unexpected(QUERY, error))?))
        });
        rows.collect()
    }

    /// The keys of all rows of a partition, as they are stored now.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn row_keys(&self, partition: &str) -> Result<Vec<RowKey>, Error> {
        let query = query_partition(&self.dynamodb, &self.table, partition.to_owned());
        let rows = query_all(query.projection_expression("pk, sk").consistent_read(true), &self.meter).await?;
        let word = |row: &Item, name: &str| row.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
        Ok(rows.iter().map(|row| RowKey { pk: word(row, "pk"), sk: word(row, "sk") }).collect())
    }

    /// Closes a subject that is as after `row`, which it came with, or opens it again: a closed one takes nothing more, and is shown to
    /// nobody. `false`: somebody has changed it, or `holder` has not the lock.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn close_subject(&self, row: &RowChange, is_closed: bool, holder: &str) -> Result<bool, Error> {
        let mut condition = Condition::of(row, |change| change.after.as_ref());
        let update = Update::builder().table_name(&self.table).set_key(Some(key_item(&row.key)));
        let [one, other] = CLOSED;
        let update = if is_closed {
            condition.values.insert(":yes".into(), AttributeValue::Bool(true));
            condition.text.push_str(" AND attribute_not_exists(deleting)");
            update.update_expression(format!("SET {one} = :yes, {other} = :yes"))
        } else {
            condition.text.push_str(" AND attribute_exists(undoing)");
            update.update_expression(format!("REMOVE {one}, {other}"))
        };
        let update = update.condition_expression(condition.text).set_expression_attribute_names(Some(condition.names));
        let update = update.set_expression_attribute_values(Some(condition.values)).build();
        let update = update.map_err(|error| unexpected(TRANSACT, error))?;
        Ok(self.transact(vec![self.lock_check(holder)?, update.into_item()]).await? == Transacted::Done)
    }

    /// Takes the lock of migrations, where nobody holds it at `now_ms`. `Some`: who does.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn lock_migrations(&self, lock: &MigrationLock, now_ms: i64) -> Result<Option<MigrationLock>, Error> {
        self.put_where(Key::MigrationLock, lock, "attribute_not_exists(pk) OR until_ms < :now", Some(now_ms)).await
    }

    /// Holds the lock until another moment. `false`: somebody else has it.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn renew_migrations_lock(&self, lock: &MigrationLock) -> Result<bool, Error> {
        let update = self.dynamodb.update_item().table_name(&self.table).set_key(Some(Key::MigrationLock.item()));
        let update = update
            .update_expression("SET until_ms = :until")
            .condition_expression("holder = :holder")
            .expression_attribute_values(":until", AttributeValue::N(lock.until_ms.to_string()))
            .expression_attribute_values(":holder", text(&lock.holder));
        update_where(update.return_consumed_capacity(ReturnConsumedCapacity::Total), &self.meter).await
    }

    /// Whether `holder` has the lock.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn holds_migrations_lock(&self, holder: &str) -> Result<bool, Error> {
        Ok(self.get_row::<MigrationLock>(Key::MigrationLock).await?.is_some_and(|held| held.holder == holder))
    }

    /// Gives the lock back, where `lock` holds it.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn unlock_migrations(&self, lock: &MigrationLock) -> Result<(), Error> {
        let key = RowKey { pk: Key::MigrationLock.partition(), sk: Key::MigrationLock.sort() };
        let Some(held) = self.get_row::<MigrationLock>(Key::MigrationLock).await?.filter(|held| held.holder == lock.holder)
        else {
            return Ok(());
        };
        let held = attributes(item(Key::MigrationLock, &held)?);
        let Some(change) = RowChange::between(key, None, &held) else { return Ok(()) };
        self.transact(vec![self.gone_row(&change)?]).await.map(drop)
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// The condition that the attributes of a change have these values.
struct Condition {
    text: String,
    names: HashMap<String, String>,
    values: Item,
}

impl Condition {
    fn of(row: &RowChange, side: fn(&AttributeChange) -> Option<&serde_dynamo::AttributeValue>) -> Self {
        let (mut names, mut values, mut parts) = (HashMap::new(), Item::new(), vec!["attribute_exists(pk)".to_owned()]);
        for (number, (name, change)) in row.attributes.iter().enumerate() {
            names.insert(format!("#n{number}"), name.clone());
            match side(change) {
                Some(value) => {
                    parts.push(format!("#n{number} = :b{number}"));
                    values.insert(format!(":b{number}"), value.clone().into());
                }
                None => parts.push(format!("attribute_not_exists(#n{number})")),
            }
        }
        Self { text: parts.join(" AND "), names, values }
    }
}
