//! `advance`: takes a batch on, by what happened to its generations. The decision is [`plan::step`]'s; this reads for it, and writes what it
//! says.

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::app::App;
use crate::aws::{BatchRow, ItemRow, RecordRow, StepWritten};
use crate::batches::plan::{self, Step};
use crate::batches::{BatchStatus, Item, ItemStatus, News, Progress};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::generation::Failure;
use crate::generation::job::RideJob;
use crate::generation::usage::Usage;
use crate::ids::{BatchKey, GenerationId, GenerationKey, Organization};
use crate::limits::RIDERS_MAX;
use crate::notifications::{EventType, Notification};
use crate::quota::Allowance;
use crate::retry::{self, BackoffBuilder};
use crate::verbs::batches::view::BatchView;
use crate::verbs::stream::ride::Created;

/// Writes of one transaction (DynamoDB's limit).
const WRITES_MAX: usize = 100;
/// Writes beside those of items: the header, the count of a bounded day, and the notification of the end.
const OTHER_WRITES: usize = 3;
/// Writes of an item that is started: its own, and its generation's record.
const START_WRITES: usize = 2;
/// Items that one step starts at most, and the most that one step is told of.
const STEP_ITEMS_MAX: usize = 32;
const _: () = assert!(STEP_ITEMS_MAX + STEP_ITEMS_MAX * START_WRITES + OTHER_WRITES <= WRITES_MAX);
/// Items that one step cancels at most, beside those that it is told of.
const STEP_CANCELS_MAX: usize = 64;
const _: () = assert!(STEP_ITEMS_MAX + STEP_CANCELS_MAX + OTHER_WRITES <= WRITES_MAX);

/// Why an item failed whose generation was deleted.
const PURGED: &str = "purged";
/// Why an item failed that could not be started.
const REQUEST_GONE: &str = "request_gone";
/// Requests that are read side by side.
const READS: usize = 8;

/// What happened to the generation of an item.
#[derive(Debug, Clone)]
pub struct Told {
    /// The item.
    pub index: u32,
    /// The generation.
    pub generation: GenerationId,
    /// What happened to it.
    pub news: News,
    /// Its tokens, once it has its outcome.
    pub usage: Usage,
    /// Micro-dollars of them.
    pub cost: u64,
    /// Why it did not complete.
    pub error: Option<Failure>,
}

impl Told {
    /// The log of this generation has ended.
    pub fn of_log(index: u32, generation: &GenerationId) -> Self {
        Self::of(index, generation, News::LogEnded)
    }

    /// This generation is gone.
    pub fn of_deleted(index: u32, generation: &GenerationId) -> Self {
        let message = "its generation was deleted before it was counted".into();
        Self { error: Some(Failure { code: PURGED.into(), message }), ..Self::of(index, generation, News::Deleted) }
    }

    fn of(index: u32, generation: &GenerationId, news: News) -> Self {
        Self { index, generation: generation.clone(), news, usage: Usage::default(), cost: 0, error: None }
    }
}

/// What steps have done.
#[derive(Debug, Default)]
pub struct Advanced {
    /// The generations that were created, which the caller has streamed; the sweep finds those that it does not.
    pub started: Vec<Created>,
    /// More items have failed than may: what runs is to be cancelled.
    pub has_too_many_failed: bool,
}

impl App {
    /// Counts what happened, and starts what has a place then. What is counted already changes nothing.
    ///
    /// # Errors
    /// [`Error::Aws`]; [`Error::BatchContended`]: other steps were first for as long as this tried. The same call may be made again.
    pub(in crate::verbs) async fn advance(&self, key: &BatchKey, told: &[Told]) -> Result<Advanced, Error> {
        let (mut advanced, mut has_more) = (Advanced::default(), told.is_empty());
        for some in told.chunks(STEP_ITEMS_MAX) {
            has_more = Box::pin(self.step(key, some, &mut advanced)).await?;
        }
        while has_more {
            has_more = Box::pin(self.step(key, &[], &mut advanced)).await?;
        }
        Ok(advanced)
    }

    /// One step, planned again while others are first. Returns whether another one is to follow.
    async fn step(&self, key: &BatchKey, told: &[Told], advanced: &mut Advanced) -> Result<bool, Error> {
        let mut waits = retry::overtaken().build();
        let (mut may_start, mut minted, mut gone) = (true, Vec::new(), Vec::new());
        loop {
            let Some(batch) = self.records.batch(key).await? else { return Ok(false) };
            let starts = async { if may_start { self.starts_of(key, &batch).await } else { Ok((0, None)) } };
            let (rows, (starts_max, allowance)) = tokio::try_join!(self.rows_of_step(key, &batch, told), starts)?;
            let (now_ms, mut used) = (self.clock.now_ms(), 0);
            // A step that is planned again uses the ids of its first plan.
            let mint = || {
                used += 1;
                if minted.len() < used {
                    minted.push(GenerationId::new(now_ms));
                }
                minted[used - 1].clone()
            };
            let Some(step) = planned(&batch, &rows, told, (starts_max, &gone), mint) else {
                return Ok(false);
            };
            let children = self.clone().by(batch.created_by.clone(), None).children(key, &step, allowance.as_ref()).await?;
            let lost = step.started.iter().zip(&children).filter(|(_, child)| child.is_none()).map(|(item, _)| item.index);
            let known = gone.len();
            gone.extend(lost);
            if gone.len() > known {
                continue;
            }
            let children: Vec<Created> = children.into_iter().flatten().collect();
            let records: Vec<&RecordRow> = children.iter().map(|child| &child.record).collect();
            let header = self.header_after(&batch, &step, told);
            let revision = step.progress.revision;
            let items: Vec<ItemRow> =
                step.items.iter().filter_map(|(_, to)| self.item_after(&rows, (to, revision), told)).collect();
            let notification = self.end_of_batch(key, &header);
            let written =
                self.records.write_step(key, (batch.progress.revision, &header), &items, &records, notification.as_ref());
            match written.await? {
                StepWritten::Done => {
                    let (before, after) = (batch.progress.status, step.progress.status);
                    advanced.has_too_many_failed |= before != after && after == BatchStatus::Cancelling;
                    advanced.started.extend(children);
                    return Ok(step.has_more && starts_max > 0);
                }
                // What ends is counted all the same.
                StepWritten::UsedUp => may_start = false,
                StepWritten::Overtaken => match waits.next() {
                    Some(wait) => sleep(wait).await,
                    None => return Err(Error::BatchContended(key.batch.to_string())),
                },
            }
        }
    }

    /// The items that a step may change.
    async fn rows_of_step(&self, key: &BatchKey, batch: &BatchRow, told: &[Told]) -> Result<Vec<ItemRow>, Error> {
        let named: Vec<u32> = told.iter().map(|told| told.index).chain(batch.progress.again.iter().copied()).collect();
        let named = async { if named.is_empty() { Ok(Vec::new()) } else { self.records.items_at(key, &named).await } };
        let waiting = async {
            if batch.progress.counts.pending == 0 {
                return Ok(Vec::new());
            }
            self.records.items_from(key, batch.progress.next, waiting_max(&batch.progress, told.len())).await
        };
        let (mut rows, waiting) = tokio::try_join!(named, waiting)?;
        rows.extend(waiting);
        rows.sort_by_key(|row| row.item.index);
        rows.dedup_by_key(|row| row.item.index);
        Ok(rows)
    }

    /// How many items may be started, and what their organization has left of its day.
    async fn starts_of(&self, key: &BatchKey, batch: &BatchRow) -> Result<(usize, Option<Allowance>), Error> {
        match batch.progress.status {
            BatchStatus::Cancelling => return Ok((STEP_CANCELS_MAX, None)),
            BatchStatus::Completed | BatchStatus::Cancelled | BatchStatus::Failed => return Ok((0, None)),
            BatchStatus::Pending | BatchStatus::Running => {}
        }
        self.starts_left(&key.organization, STEP_ITEMS_MAX).await
    }

    /// How many generations an organization may start now, `most` at most, and what it has left of its day.
    pub(in crate::verbs) async fn starts_left(
        &self,
        organization: &Organization,
        mut most: usize,
    ) -> Result<(usize, Option<Allowance>), Error> {
        let quota = self.quota(organization).await?;
        if let Some(running) = quota.running {
            most = at_most(most, running.saturating_sub(self.records.running(organization, running).await?));
        }
        match self.day_allowance(organization, &quota, self.clock.now_ms()).await {
            Ok(allowance) => {
                let left = allowance.as_ref().and_then(|allowance| allowance.generations_left);
                Ok((left.map_or(most, |left| at_most(most, left)), allowance))
            }
            Err(Error::QuotaUsedUp(_)) => Ok((0, None)),
            Err(error) => Err(error),
        }
    }

    /// What is told of a batch that ends by this step.
    fn end_of_batch(&self, key: &BatchKey, header: &BatchRow) -> Option<Notification> {
        let event = match header.progress.status {
            BatchStatus::Completed => EventType::BatchCompleted,
            BatchStatus::Cancelled => EventType::BatchCancelled,
            BatchStatus::Failed => EventType::BatchFailed,
            BatchStatus::Pending | BatchStatus::Running | BatchStatus::Cancelling => return None,
        };
        if !header.notify.webhook && header.notify.users.is_empty() {
            return None;
        }
        let view = BatchView::from(header.clone());
        let data = json!({
            "status": view.status,
            "counts": view.counts,
            "name": view.name,
            "usage": view.usage,
            "cost": view.cost,
            "report": format!("/v1/batches/{}/report", view.id),
        });
        let Value::Object(data) = data else { return None };
        let now_ms = self.clock.now_ms();
        Some(Notification::new(&key.organization, event, key.batch.as_str(), now_ms, data, &header.notify))
    }

    fn header_after(&self, batch: &BatchRow, step: &Step, told: &[Told]) -> BatchRow {
        let mut header = batch.clone();
        header.progress.clone_from(&step.progress);
        let now = rfc3339(self.clock.now_ms());
        header.updated_at.clone_from(&now);
        if header.started_at.is_none() && !step.started.is_empty() {
            header.started_at = Some(now.clone());
        }
        for told in told.iter().filter(|told| has_ended(step, told)) {
            header.usage = header.usage.plus(told.usage);
            header.cost = header.cost.saturating_add(told.cost);
        }
        if step.progress.status.is_terminal() {
            header.end(now);
        }
        header
    }

    fn item_after(&self, rows: &[ItemRow], (to, revision): (&Item, u64), told: &[Told]) -> Option<ItemRow> {
        let row = rows.iter().find(|row| row.item.index == to.index)?;
        let now = rfc3339(self.clock.now_ms());
        let mut after = row.clone();
        after.item.clone_from(to);
        after.changed = revision;
        let ended = told.iter().find(|told| told.index == to.index && told.news != News::LogEnded);
        if let Some(told) = ended.filter(|told| row.item.generation.as_ref() == Some(&told.generation)) {
            after.usage = after.usage.plus(told.usage);
            after.cost = after.cost.saturating_add(told.cost);
            after.error.clone_from(&told.error);
        }
        if to.status == ItemStatus::Running && to.tries > row.item.tries {
            after.started_at = Some(now.clone());
        }
        if to.status == ItemStatus::Failed && row.item.status == ItemStatus::Pending {
            let message = "the item's request is kept for 30 days, or was deleted with the generation of an earlier try";
            after.error = Some(Failure { code: REQUEST_GONE.into(), message: message.into() });
        }
        if to.status.is_terminal() {
            after.ended_at = Some(now);
        }
        Some(after)
    }

    /// The generations of the items that are started, in their order; `None`: the item's request is gone.
    async fn children(&self, key: &BatchKey, step: &Step, allowance: Option<&Allowance>) -> Result<Vec<Option<Created>>, Error> {
        let children = step.started.iter().map(|started| self.child(key, started, allowance).boxed());
        stream::iter(children.collect::<Vec<_>>()).buffered(READS).try_collect().await
    }

    async fn child(&self, key: &BatchKey, started: &Item, allowance: Option<&Allowance>) -> Result<Option<Created>, Error> {
        let Some(generation) = &started.generation else { return Ok(None) };
        let of = GenerationKey::new(key.organization.clone(), generation.clone());
        let Some(request) = self.request_of_item(&of, key, started.index).await? else { return Ok(None) };
        let request_id = self.request_id.as_deref().map(str::to_owned);
        let record = RecordRow::new(&of, &request, None, self.clock.now_ms(), allowance.cloned(), request_id);
        let record = self.about_subject(&request, record.of_item(&key.batch, started.index)).await?;
        Ok(Some(Created { record, request }))
    }

    /// Has these generations streamed that were just created, several in one invocation.
    pub(in crate::verbs) async fn ride_on(&self, organization: &Organization, created: Vec<Created>) {
        let generations: Vec<GenerationId> = created.into_iter().map(|created| created.record.generation).collect();
        for some in generations.chunks(RIDERS_MAX) {
            let invoked = match RideJob::new(organization.clone(), some.to_vec()) {
                Ok(ride) => self.invoker.ride(&ride.of_fresh()).await,
                Err(message) => Err(Error::Internal(message)),
            };
            if let Err(error) = invoked {
                tracing::warn!(%organization, %error, "The invoke of stream failed; sweep will repeat it for each generation.");
            }
        }
    }
}

/// How many waiting items a step may have places for, with those that the news free.
fn waiting_max(progress: &Progress, news: usize) -> usize {
    if progress.status == BatchStatus::Cancelling {
        return STEP_CANCELS_MAX;
    }
    (plan::free_places(progress) as usize + news).clamp(1, STEP_ITEMS_MAX)
}

fn at_most(most: usize, left: u64) -> usize {
    usize::try_from(left).map_or(most, |left| most.min(left))
}

fn planned(
    batch: &BatchRow,
    rows: &[ItemRow],
    told: &[Told],
    starts: (usize, &[u32]),
    mint: impl FnMut() -> GenerationId,
) -> Option<Step> {
    let item = |index: u32| rows.iter().find(|row| row.item.index == index).map(|row| row.item.clone());
    let news: Vec<_> = told.iter().filter_map(|told| Some((item(told.index)?, told.generation.clone(), told.news))).collect();
    let waiting: Vec<_> = rows.iter().map(|row| row.item.clone()).collect();
    plan::step(&batch.progress, &news, &waiting, starts, mint)
}

/// Whether this step counts the end that it was told of.
fn has_ended(step: &Step, told: &Told) -> bool {
    let is_of_this_try = |from: &Item| from.index == told.index && from.generation.as_ref() == Some(&told.generation);
    told.news != News::LogEnded && step.items.iter().any(|(from, _)| is_of_this_try(from))
}
