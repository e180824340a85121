//! A run's rows: its header, its input, the steps that were begun, and its execution log. A plan writes all that it changes in one transaction,
//! on the condition that the header has the revision that it was made from: so it is the only condition that the steps need.

use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnConsumedCapacity, TransactWriteItem};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::generation::RequestRow;
use super::key::{self, BY_ORGANIZATION, ENTRIES, Key, RUN, STEPS};
use super::listing::BATCH_GET;
use super::transactions::{IntoItem, Transacted};
use super::{IS_NEW, RecordRow, Records, item};
use crate::aws::clients::unexpected;
use crate::aws::tables::{Item, delete_all, query_all, query_page, query_partition};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::ids::{KeyId, Organization, RunId, RunKey, SubjectId};
use crate::notifications::Notification;
use crate::notifications::notify::Notify;
use crate::pipelines::CheckResult;
use crate::retry::{self, BackoffBuilder};
use crate::runs::places::Places;
use crate::runs::{Entry, Progress, RunStatus, StepState, Steps};

/// The pipeline of a run, as it was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedPipeline {
    /// Its name.
    pub name: String,
    /// The number of its version.
    pub version: u64,
    /// SHA-256 in hex of the version's document.
    pub sha256: String,
}

/// A run's header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Partition key of the index `by_organization`: not the organization itself, under which its generations are listed.
    organization: String,
    /// Its sort key, which the index calls so.
    generation: RunId,
    /// Partition key of the sparse index `by_open`, until the run has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<String>,
    /// Its sort key. Present for as long as `open` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_at: Option<String>,
    /// What it runs.
    pub pipeline: PinnedPipeline,
    /// RFC 3339.
    pub created_at: String,
    /// When it had its place, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// When it changed last, RFC 3339.
    pub updated_at: String,
    /// What its plans count.
    #[serde(flatten)]
    pub progress: Progress,
    /// The subject whose next version the result becomes. Present once the run has completed: the trigger of `settle` selects by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_subject: Option<SubjectId>,
    /// SHA-256 in hex of the input, where that is too large for its row: the bucket has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_sha256: Option<String>,
    /// SHA-256 in hex of the result, which the bucket has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_sha256: Option<String>,
    /// The result's length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
    /// The pipeline's checks of the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckResult>,
    /// The run whose completed steps it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive_of: Option<RunId>,
    /// The key that it was started with, by which its steps are generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<KeyId>,
    /// The caller's own entries: a JSON object as text.
    pub metadata: String,
    /// Who is told of its end.
    #[serde(default)]
    pub notify: Notify,
}

/// A step that was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Its id.
    pub id: String,
    /// What the plans decide by.
    #[serde(flatten)]
    pub state: StepState,
}

/// What a plan entered in the execution log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// When, RFC 3339.
    pub at: String,
    /// The run's revision.
    pub revision: u64,
    /// What happened, in its order. May be empty: something was counted that needs no words.
    pub entries: Vec<Entry>,
}

/// All that belongs to a run that is stored.
#[derive(Debug, Clone, Copy)]
pub struct CreatedRun<'a> {
    /// Its header.
    pub run: &'a RunRow,
    /// Its input, as JSON text; `None`: the bucket has it.
    pub input: Option<&'a str>,
    /// The steps that it has already.
    pub steps: &'a [StepRow],
    /// What is entered in the log.
    pub entries: &'a EntryRow,
    /// Its place, in place of those with this revision. A run that ends before it begins has none.
    pub places: Option<(u64, &'a Places)>,
    /// Who is told that it has ended.
    pub notification: Option<&'a Notification>,
}

/// All that a plan changes.
#[derive(Debug, Clone)]
pub struct PlannedRun<'a> {
    /// The revision of the run that the plan was made from.
    pub revision: u64,
    /// The run then.
    pub run: &'a RunRow,
    /// The steps that change.
    pub steps: Vec<StepRow>,
    /// What is entered in the log.
    pub entries: &'a EntryRow,
    /// The generations that are started.
    pub children: Vec<&'a RecordRow>,
    /// The places, where the run leaves its own, and the revision of those that they replace.
    pub places: Option<(u64, &'a Places)>,
    /// What is told.
    pub notifications: &'a [Notification],
}

/// The result of [`Records::write_plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanWritten {
    /// All of it is stored.
    Done,
    /// Another plan was first, of this run or of the places: nothing is stored.
    Overtaken,
    /// The day's generations are used up: nothing is stored.
    UsedUp,
}

/// A page of runs, newest first.
#[derive(Debug, Clone, Default)]
pub struct RunPage {
    /// Their headers.
    pub runs: Vec<RunRow>,
    /// The last one that was looked at.
    pub last: Option<RunId>,
    /// Whether there are more.
    pub has_more: bool,
}

impl RunRow {
    /// A new run.
    #[must_use]
    pub fn new(key: &RunKey, pipeline: PinnedPipeline, progress: Progress, created_ms: i64) -> Self {
        let created_at = rfc3339(created_ms);
        Self {
            organization: key::runs(&key.organization),
            generation: key.run.clone(),
            open: Some(key::job_shard(&key.organization)),
            open_at: Some(key::open_at(&key.organization, &created_at)),
            pipeline,
            updated_at: created_at.clone(),
            created_at,
            started_at: None,
            ended_at: None,
            progress,
            result_subject: None,
            input_sha256: None,
            result_sha256: None,
            result_bytes: None,
            checks: Vec::new(),
            redrive_of: None,
            created_by: None,
            metadata: "{}".into(),
            notify: Notify::default(),
        }
    }

    /// The run's id.
    #[must_use]
    pub const fn id(&self) -> &RunId {
        &self.generation
    }

    /// The run is as a plan left it at `now_ms`: one that has ended leaves the index of open runs.
    pub fn set(&mut self, progress: Progress, now_ms: i64) {
        self.updated_at = rfc3339(now_ms);
        if self.started_at.is_none() && progress.status != RunStatus::Pending && progress.deadline_ms.is_some() {
            self.started_at = Some(self.updated_at.clone());
        }
        if progress.status.is_terminal() {
            self.ended_at = Some(self.updated_at.clone());
            self.open = None;
            self.open_at = None;
        }
        self.progress = progress;
    }
}

impl Records {
    /// A run's input, as JSON text. `None`: its row has gone, or never had it, because the bucket has it.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn run_input(&self, key: &RunKey) -> Result<Option<String>, Error> {
        let row: Option<RequestRow> = self.get_row(Key::RunInput(key)).await?;
        Ok(row.map(RequestRow::into_text).transpose()?.flatten())
    }

    /// Stores a new run with all that belongs to it. `false`: there is such a run, or others changed the places; nothing is stored.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn create_run(&self, key: &RunKey, new: CreatedRun<'_>) -> Result<bool, Error> {
        let mut writes = vec![
            self.put_in_transaction(Key::Run(key), new.run, Some(IS_NEW))?.into_item(),
            self.put_in_transaction(Key::RunEntry(key, new.entries.revision), new.entries, None)?.into_item(),
        ];
        if let Some(input) = new.input {
            let row = RequestRow::kept(Some(input.to_owned()))?;
            writes.push(self.put_in_transaction(Key::RunInput(key), &row, None)?.into_item());
        }
        for step in new.steps {
            writes.push(self.put_in_transaction(Key::RunStep(key, &step.id), step, None)?.into_item());
        }
        if let Some((revision, places)) = new.places {
            writes.push(self.places_put(&key.organization, revision, places)?.into_item());
        }
        if let Some(notification) = new.notification {
            writes.push(self.notification_put(notification)?);
        }
        Ok(self.transact(writes).await? == Transacted::Done)
    }

    /// A run's header as it is stored now.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn run(&self, key: &RunKey) -> Result<Option<RunRow>, Error> {
        self.get_row(Key::Run(key)).await
    }

    /// A step of a run as it is stored now. `None`: it was not begun, or there is no such step or run.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn run_step(&self, key: &RunKey, step: &str) -> Result<Option<StepState>, Error> {
        let row: Option<StepRow> = self.get_row(Key::RunStep(key, step)).await?;
        Ok(row.map(|row| row.state))
    }

    /// A run's header, and the steps that were begun, as one plan has left them.
    ///
    /// # Errors
    /// [`Error::RunContended`]: plans were written for as long as this tried. [`Error::Aws`].
    pub async fn run_and_steps(&self, key: &RunKey) -> Result<Option<(RunRow, Steps)>, Error> {
        let mut waits = retry::overtaken().build();
        loop {
            let found = self.run_and_steps_of_now(key).await?;
            if found.as_ref().is_none_or(|(run, steps)| run.progress.is_of(steps)) {
                return Ok(found);
            }
            match waits.next() {
                Some(wait) => sleep(wait).await,
                None => return Err(Error::RunContended(key.run.to_string())),
            }
        }
    }

    /// The same, which may have some rows of a plan and not the others: a query is not isolated from a transaction.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-isolation>
    async fn run_and_steps_of_now(&self, key: &RunKey) -> Result<Option<(RunRow, Steps)>, Error> {
        let query = query_partition(&self.dynamodb, &self.table, key.partition())
            .key_condition_expression("pk = :pk AND sk BETWEEN :run AND :last")
            .expression_attribute_values(":run", AttributeValue::S(RUN.into()))
            .expression_attribute_values(":last", AttributeValue::S(format!("{STEPS}~")))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let mut items = query_all(query, &self.meter).await?.into_iter();
        let Some(run) = items.next().filter(|item| has_sort_key(item, RUN)) else { return Ok(None) };
        let read = |error| unexpected("dynamodb Query", error);
        let steps: Vec<StepRow> = serde_dynamo::from_items(items.collect::<Vec<Item>>()).map_err(read)?;
        let steps = steps.into_iter().map(|row| (row.id, row.state)).collect();
        Ok(Some((serde_dynamo::from_item(run).map_err(read)?, steps)))
    }

    /// The entries of a run's log behind a revision, in their order: at most `limit` rows.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn run_entries(&self, key: &RunKey, after: u64, limit: usize) -> Result<Vec<EntryRow>, Error> {
        let query = query_partition(&self.dynamodb, &self.table, key.partition())
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":from", AttributeValue::S(Key::RunEntry(key, after.saturating_add(1)).sort()))
            .expression_attribute_values(":to", AttributeValue::S(format!("{ENTRIES}~")))
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page = query_page(query, &self.meter).await?;
        serde_dynamo::from_items(page.items.unwrap_or_default()).map_err(|error| unexpected("dynamodb Query", error))
    }

    /// The places of an organization's runs.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn places(&self, organization: &Organization) -> Result<Places, Error> {
        Ok(self.get_row(Key::Places(organization)).await?.unwrap_or_default())
    }

    /// Writes places in place of those with `revision`. `false`: they have changed since.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn replace_places(&self, organization: &Organization, revision: u64, places: &Places) -> Result<bool, Error> {
        Ok(self.transact(vec![self.places_put(organization, revision, places)?.into_item()]).await? == Transacted::Done)
    }

    /// Writes what a plan changes. Generations of a bounded day are counted in it.
    ///
    /// # Errors
    /// [`Error::Aws`]: it is not known whether it was stored. The plan that is made next finds out.
    pub async fn write_plan(&self, key: &RunKey, planned: PlannedRun<'_>) -> Result<PlanWritten, Error> {
        let mut writes: Vec<TransactWriteItem> = vec![self.run_put(key, planned.revision, planned.run)?.into_item()];
        writes.push(self.put_in_transaction(Key::RunEntry(key, planned.entries.revision), planned.entries, None)?.into_item());
        for step in &planned.steps {
            writes.push(self.put_in_transaction(Key::RunStep(key, &step.id), step, None)?.into_item());
        }
        for child in &planned.children {
            writes.push(self.put_in_transaction(Key::Record(&child.key()), *child, Some(IS_NEW))?.into_item());
        }
        if let Some((revision, places)) = planned.places {
            writes.push(self.places_put(&key.organization, revision, places)?.into_item());
        }
        for notification in planned.notifications {
            writes.push(self.notification_put(notification)?);
        }
        let counts_day = self.count_children(&key.organization, &planned.children)?;
        let is_counted = counts_day.is_some();
        writes.extend(counts_day);
        Ok(match self.transact(writes).await? {
            Transacted::Done => PlanWritten::Done,
            Transacted::Refused(held) if is_counted && held.last() == Some(&false) && held.first() == Some(&true) => {
                PlanWritten::UsedUp
            }
            Transacted::Refused(_) => PlanWritten::Overtaken,
        })
    }

    /// An organization's runs, newest first, those behind `after` if it is given.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn runs(&self, organization: &Organization, after: Option<&RunId>, limit: usize) -> Result<RunPage, Error> {
        let query = self.dynamodb.query().table_name(&self.table).index_name(BY_ORGANIZATION);
        let condition = if after.is_some() { " AND generation < :after" } else { "" };
        let mut query = query
            .key_condition_expression(format!("organization = :organization{condition}"))
            .expression_attribute_values(":organization", AttributeValue::S(key::runs(organization)))
            .scan_index_forward(false)
            .limit(i32::try_from(limit + 1).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if let Some(after) = after {
            query = query.expression_attribute_values(":after", AttributeValue::S(after.to_string()));
        }
        let page = query_page(query, &self.meter).await?;
        let ids = page.items().iter().filter_map(|item| item.get("generation")?.as_s().ok()?.parse().ok());
        let mut ids: Vec<RunId> = ids.collect();
        let has_more = ids.len() > limit;
        ids.truncate(limit);
        let keys: Vec<RunKey> = ids.iter().map(|id| RunKey::new(organization.clone(), id.clone())).collect();
        let rows = self.get_items(keys.iter().map(|key| Key::Run(key).item()).collect()).await?;
        let rows: Result<Vec<RunRow>, _> = serde_dynamo::from_items(rows);
        let mut runs = rows.map_err(|error| unexpected(BATCH_GET, error))?;
        runs.sort_unstable_by(|one, other| other.id().cmp(one.id()));
        Ok(RunPage { runs, last: ids.pop(), has_more })
    }

    /// Deletes the rows of a run, and the header last. Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn delete_run(&self, key: &RunKey) -> Result<(), Error> {
        let rows = query_partition(&self.dynamodb, &self.table, key.partition())
            .projection_expression("pk, sk")
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let mut rows = query_all(rows, &self.meter).await?;
        rows.retain(|row| !has_sort_key(row, RUN));
        delete_all(&self.dynamodb, &self.table, &rows, &self.meter).await?;
        self.delete_row(Key::Run(key)).await
    }

    fn run_put(&self, key: &RunKey, revision: u64, run: &RunRow) -> Result<Put, Error> {
        self.put_of_revision(Key::Run(key), run, "revision = :revision", revision)
    }

    fn places_put(&self, organization: &Organization, revision: u64, places: &Places) -> Result<Put, Error> {
        let condition = if revision == 0 { "attribute_not_exists(pk) OR revision = :revision" } else { "revision = :revision" };
        self.put_of_revision(Key::Places(organization), places, condition, revision)
    }

    fn put_of_revision<R: Serialize>(&self, key: Key<'_>, row: &R, condition: &str, revision: u64) -> Result<Put, Error> {
        Put::builder()
            .table_name(&self.table)
            .set_item(Some(item(key, row)?))
            .condition_expression(condition)
            .expression_attribute_values(":revision", AttributeValue::N(revision.to_string()))
            .build()
            .map_err(|error| unexpected("dynamodb TransactWriteItems", error))
    }
}

fn has_sort_key(item: &Item, sort: &str) -> bool {
    item.get("sk").and_then(|sk| sk.as_s().ok()).is_some_and(|sk| sk == sort)
}
