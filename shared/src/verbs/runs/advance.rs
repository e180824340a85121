//! `advance`: takes a run on, by what happened to the generations of its steps. The decision is [`plan`]'s; this reads for it, and writes what it
//! says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::app::App;
use crate::aws::{Blobs, EntryRow, PlanWritten, PlannedRun, RecordRow, RunRow, StepRow};
use crate::clock::{duration_ms, rfc3339};
use crate::error::Error;
use crate::generation::request::Request;
use crate::generation::{Failure, Status};
use crate::hash::sha256_hex;
use crate::ids::{GenerationId, GenerationKey, Organization, RunId, RunKey};
use crate::json::text;
use crate::limits::{OUTPUT_INLINE_BYTES_MAX, RIDERS_MAX, RUN_OUTPUTS_BYTES_MAX};
use crate::log::reason;
use crate::notifications::notify::Notify;
use crate::notifications::{EventType, Notification};
use crate::pipelines::{Context, Document, Feedback, Pipeline, RetryOn};
use crate::quota::Allowance;
use crate::retry::{self, BackoffBuilder};
use crate::runs::places::Places;
use crate::runs::plan::{self, Act, Known, Plan, Start};
use crate::runs::{News, Progress, RunStatus, StepState, StepStatus, Steps};
use crate::telemetry;
use crate::verbs::stream::ride::Created;

/// Outputs that are read side by side, each of a megabyte at most, and generations that are cancelled side by side.
const SIDE_BY_SIDE: usize = 8;
/// How many runs of an organization are at work at once, where nothing says how many.
const RUNS_AT_WORK: u64 = 2;

/// What a plan has done.
#[derive(Debug, Default)]
pub struct Advanced {
    /// The generations that were created, which the caller has streamed; the sweep finds those that it does not.
    pub started: Vec<Created>,
    /// Runs that have a place now, and are to begin.
    pub promoted: Vec<RunId>,
    /// Generations that are to be cancelled: the run ends.
    pub cancels: Vec<GenerationId>,
}

/// What is read before a plan is made.
#[derive(Default)]
struct Read {
    input: Value,
    outputs: BTreeMap<String, Value>,
    /// Their length together.
    bytes: usize,
    /// The steps whose outputs were read, as far as they have any.
    asked: BTreeSet<String>,
    lost: BTreeMap<String, String>,
    feedback: BTreeMap<String, Feedback>,
    starts_max: usize,
    allowance: Option<Allowance>,
}

/// What earlier plans of the same call have come to.
#[derive(Default)]
struct Tried {
    /// The day's generations are not used up.
    may_start: bool,
    minted: Vec<GenerationId>,
    /// Requests that were refused, by their steps: why.
    refused: BTreeMap<String, String>,
}

impl App {
    /// Takes a run on, has what it starts streamed, ends what it ends, and begins the runs that have its place then.
    ///
    /// # Errors
    /// [`Error::Aws`]; [`Error::RunContended`]: other plans were first for as long as this tried. The same call may be made again.
    pub(in crate::verbs) async fn take_on(&self, key: &RunKey, news: &[News], act: Act) -> Result<(), Error> {
        let (mut key, mut news, mut act) = (key.clone(), news.to_vec(), act);
        let mut promoted = Vec::new();
        loop {
            let advanced = Box::pin(self.advance_run(&key, &news, act)).await?;
            self.ride_on(&key.organization, advanced.started).await;
            self.cancel_steps(&key.organization, advanced.cancels).await;
            promoted.extend(advanced.promoted);
            let Some(next) = promoted.pop() else { return Ok(()) };
            (key, news, act) = (RunKey::new(key.organization.clone(), next), Vec::new(), Act::Begin);
        }
    }

    /// One plan, made again while others are first.
    async fn advance_run(&self, key: &RunKey, news: &[News], act: Act) -> Result<Advanced, Error> {
        let mut waits = retry::overtaken().build();
        let mut tried = Tried { may_start: true, ..Tried::default() };
        loop {
            let Some((row, steps)) = self.records.run_and_steps(key).await? else { return Ok(Advanced::default()) };
            if row.progress.status.is_terminal() {
                return Ok(Advanced::default());
            }
            let pipeline = self.pipeline_of(key, &row).await?;
            let (plan, read) = Box::pin(self.plan_run(key, (&row, &steps, &pipeline.document), news, act, &mut tried)).await?;
            let Some(plan) = plan else { return Ok(Self::left_behind(&row, &steps)) };
            let by_starter = self.clone().by(row.created_by.clone(), None);
            let (children, wrong) = by_starter.children_of(key, &row, &plan, read.allowance.as_ref());
            if !wrong.is_empty() {
                tried.refused.extend(wrong);
                continue;
            }
            match self.write_plan(key, (&row, &plan), &children, (&pipeline, &read.input, &read.outputs)).await? {
                (PlanWritten::Done, promoted) => {
                    let cancels = if plan.progress.status == RunStatus::Cancelling { running(&plan.steps) } else { Vec::new() };
                    return Ok(Advanced { started: children, promoted, cancels });
                }
                // What ends is counted all the same.
                (PlanWritten::UsedUp, _) => tried.may_start = false,
                (PlanWritten::Overtaken, _) => match waits.next() {
                    Some(wait) => sleep(wait).await,
                    None => return Err(Error::RunContended(key.run.to_string())),
                },
            }
        }
    }

    /// Reads what a plan is made from, and makes it. `None`: nothing changes.
    async fn plan_run(
        &self,
        key: &RunKey,
        (row, steps, document): (&RunRow, &Steps, &Document),
        news: &[News],
        act: Act,
        tried: &mut Tried,
    ) -> Result<(Option<Plan>, Read), Error> {
        let (now_ms, mut read) = (self.clock.now_ms(), Read::default());
        // A run that ends is ended whatever has become of its input and its outputs.
        let is_at_work = plan::may_start(&row.progress, act, now_ms);
        if is_at_work {
            let wanted = plan::outputs(document, steps, news, None);
            let may_start = tried.may_start;
            let starts = async { if may_start { self.starts_left(&key.organization, RIDERS_MAX).await } else { Ok((0, None)) } };
            let feedback = self.feedback_for(key, document, steps, news);
            let outputs = self.read_outputs(key, (document, steps, news), &wanted, &mut read);
            let (input, (), feedback, (starts_max, allowance)) =
                tokio::try_join!(self.input_of_run(key, row), outputs, feedback, starts)?;
            read = Read { input, feedback, starts_max, allowance, ..read };
        }
        loop {
            let mut used = 0;
            // A plan that is made again uses the ids of the first one.
            let mint = || {
                used += 1;
                if tried.minted.len() < used {
                    tried.minted.push(GenerationId::new(now_ms));
                }
                tried.minted[used - 1].clone()
            };
            let known = Known {
                document,
                input: &read.input,
                outputs: &read.outputs,
                lost: &read.lost,
                feedback: &read.feedback,
                refused: &tried.refused,
                starts_max: read.starts_max,
                now_ms,
            };
            let Some(plan) = plan::plan((&row.progress, steps), news, act, known, mint) else { return Ok((None, read)) };
            let mut wanted = plan::outputs(document, steps, news, Some(&plan));
            wanted.retain(|id| !read.asked.contains(id));
            if !is_at_work || wanted.is_empty() {
                return Ok((Some(plan), read));
            }
            self.read_outputs(key, (document, &plan.steps, news), &wanted, &mut read).await?;
        }
    }

    /// What an earlier plan wrote, and whoever wrote it may not have done: what runs of a run that ends is cancelled again.
    fn left_behind(row: &RunRow, steps: &Steps) -> Advanced {
        let cancels = if row.progress.status == RunStatus::Cancelling { running(steps) } else { Vec::new() };
        Advanced { cancels, ..Advanced::default() }
    }

    /// The pipeline that a run runs.
    pub(in crate::verbs) async fn pipeline_of(&self, key: &RunKey, row: &RunRow) -> Result<Arc<Pipeline>, Error> {
        let reference = format!("{}@{}", row.pipeline.name, row.pipeline.version);
        let reference = reference.parse().map_err(|error| Error::Internal(format!("{}: {error}", key.run)))?;
        self.pipeline(&key.organization, &reference).await
    }

    /// A run's input.
    pub(in crate::verbs) async fn input_of_run(&self, key: &RunKey, row: &RunRow) -> Result<Value, Error> {
        let damaged = |what: String| Error::Internal(format!("the input of run {} {what}", key.run));
        let text = match &row.input_sha256 {
            None => self.records.run_input(key).await?.map(String::into_bytes),
            Some(sha256) => self.blobs.get(&Blobs::run_input_key(key, sha256)).await?,
        };
        let text = text.ok_or_else(|| damaged("is gone".into()))?;
        serde_json::from_slice(&text).map_err(|error| damaged(format!("cannot be read: {error}")))
    }

    /// Reads the outputs of these steps, as far as they have completed.
    async fn read_outputs(
        &self,
        key: &RunKey,
        (document, steps, news): (&Document, &Steps, &[News]),
        wanted: &BTreeSet<String>,
        read: &mut Read,
    ) -> Result<(), Error> {
        let told = news.iter().filter(|news| news.failure.is_none()).map(|news| (news.step.as_str(), &news.generation));
        let stored = steps.iter().filter(|(_, state)| state.status == StepStatus::Completed);
        let stored = stored.filter_map(|(id, state)| Some((id.as_str(), state.generation.as_ref()?)));
        let found: BTreeMap<&str, &GenerationId> = told.chain(stored).filter(|(id, _)| wanted.contains(*id)).collect();
        let outputs = found.into_iter().map(|(id, generation)| {
            async move {
                let of = GenerationKey::new(key.organization.clone(), generation.clone());
                let is_json = document.step(id).is_some_and(|step| step.output.is_some());
                Ok::<_, Error>((id.to_owned(), self.output_of_step(&of, is_json).await?))
            }
            .boxed()
        });
        let mut outputs = stream::iter(outputs.collect::<Vec<_>>()).buffered(SIDE_BY_SIDE);
        while let Some((id, output)) = outputs.try_next().await? {
            match output {
                Some((output, length)) => {
                    read.bytes += length;
                    drop(read.outputs.insert(id.clone(), output));
                }
                None => drop(read.lost.insert(id.clone(), format!("the output of {id} was deleted, or cannot be read"))),
            }
            // They are in memory together, as values, which take many times their bytes.
            if read.bytes > RUN_OUTPUTS_BYTES_MAX {
                let message = format!("the outputs of the run have more than {RUN_OUTPUTS_BYTES_MAX} bytes together");
                read.lost.insert(id, message);
                break;
            }
        }
        read.asked.extend(wanted.iter().cloned());
        Ok(())
    }

    /// Why the answers were not accepted whose steps are to be tried again.
    async fn feedback_for(
        &self,
        key: &RunKey,
        document: &Document,
        steps: &Steps,
        news: &[News],
    ) -> Result<BTreeMap<String, Feedback>, Error> {
        let mut feedback = BTreeMap::new();
        for (id, generation, errors) in unaccepted(document, steps, news) {
            let of = GenerationKey::new(key.organization.clone(), generation);
            feedback.insert(id, self.feedback_of(&of, errors).await?);
        }
        Ok(feedback)
    }

    /// The output of the generation with which a step has completed, and its bytes; `None`: it is gone, or is none.
    pub(super) async fn output_of_step(&self, key: &GenerationKey, is_json: bool) -> Result<Option<(Value, usize)>, Error> {
        // A step that has completed has an output of a bounded size.
        let stored = self.blobs.get(&Blobs::output_key(key)).await?;
        let Some(text) = stored.and_then(|bytes| String::from_utf8(bytes).ok()) else { return Ok(None) };
        let length = text.len();
        if !is_json {
            return Ok(Some((text.into(), length)));
        }
        let value = text::find(&text).and_then(|json| serde_json::from_str(json.get()).ok());
        Ok(value.map(|value| (value, length)))
    }

    /// The text of a step's generation that has ended: tool calls and a refusal, which are in the log alone, are no output of a step.
    async fn text_of_step(&self, key: &GenerationKey) -> Result<Option<String>, Error> {
        let Some(record) = self.records.find(key).await? else { return Ok(None) };
        let outcome = record.outcome.filter(|outcome| outcome.compacted.is_some() && outcome.bytes <= OUTPUT_INLINE_BYTES_MAX);
        if outcome.is_none() {
            return Ok(None);
        }
        let stored = self.blobs.get(&Blobs::output_key(key)).await?;
        Ok(stored.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// What the next try is told of an answer that was not accepted.
    async fn feedback_of(&self, key: &GenerationKey, message: String) -> Result<Feedback, Error> {
        let text = self.text_of_step(key).await?.unwrap_or_default();
        let issues = self.records.issues(key).await?;
        let of_issues = issues.iter().flat_map(|issue| &issue.errors);
        let mut errors: Vec<String> = of_issues.map(|error| format!("{}: {}", error.path, error.message)).collect();
        if errors.is_empty() {
            errors.push(message);
        }
        Ok(Feedback { text, errors })
    }

    /// The generations that a plan starts, as they are stored; and the requests that are refused, by their steps: why.
    fn children_of(
        &self,
        key: &RunKey,
        row: &RunRow,
        plan: &Plan,
        allowance: Option<&Allowance>,
    ) -> (Vec<Created>, BTreeMap<String, String>) {
        let (mut children, mut wrong) = (Vec::new(), BTreeMap::new());
        let now_ms = self.clock.now_ms();
        let deadline = plan.progress.deadline_ms.or(row.progress.deadline_ms);
        for start in &plan.starts {
            match Request::from_value(in_time(start, deadline, now_ms), &self.config.request_rules()) {
                Ok(request) if self.is_unpriced(&request, allowance) => {
                    let message = format!(
                        "the organization's spend is bounded, and {:?} of {:?} has no price",
                        request.model, request.provider
                    );
                    wrong.insert(start.step.clone(), message);
                }
                Ok(request) => {
                    let of = GenerationKey::new(key.organization.clone(), start.generation.clone());
                    let request_id = self.request_id.as_deref().map(str::to_owned);
                    let record = RecordRow::new(&of, &request, None, now_ms, allowance.cloned(), request_id);
                    children.push(Created { record: record.of_step(&key.run, &start.step), request });
                }
                Err(error) => drop(wrong.insert(start.step.clone(), error.to_string())),
            }
        }
        (children, wrong)
    }

    /// Whether what a request costs could not be counted, where it must be.
    fn is_unpriced(&self, request: &Request, allowance: Option<&Allowance>) -> bool {
        let is_bounded = allowance.is_some_and(|allowance| allowance.spend_left.is_some());
        is_bounded && self.config.prices.find(&request.provider, &request.model).is_none()
    }

    /// Writes a plan. Requests and the result are stored first: what is never named is removed with the run, or expires.
    async fn write_plan(
        &self,
        key: &RunKey,
        (before, plan): (&RunRow, &Plan),
        children: &[Created],
        (pipeline, input, outputs): (&Pipeline, &Value, &BTreeMap<String, Value>),
    ) -> Result<(PlanWritten, Vec<RunId>), Error> {
        for child in children {
            let of = child.record.key();
            let text = self.store_large_request(&of, &child.request).await?;
            self.records.put_request(&of, text, self.request_expiry()).await?;
        }
        let now_ms = self.clock.now_ms();
        let mut row = before.clone();
        row.set(plan.progress.clone(), now_ms);
        if plan.progress.status == RunStatus::Completed {
            let context = plan::context(input, &plan.steps, outputs);
            self.store_result(key, &mut row, (&pipeline.document, &context)).await?;
        }
        let steps = plan.changed.iter().filter_map(|id| Some(StepRow { id: id.clone(), state: plan.steps.get(id)?.clone() }));
        let entries = EntryRow { at: rfc3339(now_ms), revision: plan.progress.revision, entries: plan.entries.clone() };
        let left = if plan.progress.status.is_terminal() { Some(self.left_places(key).await?) } else { None };
        let notifications: Vec<_> = self.failed_steps(key, &row, plan).chain(self.end_of_run(key, &row)).collect();
        let planned = PlannedRun {
            revision: before.progress.revision,
            run: &row,
            steps: steps.collect(),
            entries: &entries,
            children: children.iter().map(|child| &child.record).collect(),
            places: left.as_ref().map(|(revision, places, _)| (*revision, places)),
            notifications: &notifications,
        };
        let written = self.records.write_plan(key, planned).await?;
        if written == PlanWritten::Done {
            report_end(&row);
        }
        Ok((written, left.map(|(_, _, promoted)| promoted).unwrap_or_default()))
    }

    /// The places without this run, the revision of those that they replace, and the runs that have one then.
    async fn left_places(&self, key: &RunKey) -> Result<(u64, Places, Vec<RunId>), Error> {
        let places = self.records.places(&key.organization).await?;
        let mut left = places.clone();
        left.leave(&key.run, self.runs_at_work(&key.organization).await?);
        left.revision += 1;
        let promoted = left.running.iter().filter(|run| !places.running.contains(run)).cloned().collect();
        Ok((places.revision, left, promoted))
    }

    /// How many runs of an organization may be at work at once.
    pub(in crate::verbs) async fn runs_at_work(&self, organization: &Organization) -> Result<u32, Error> {
        let most = self.quota(organization).await?.runs.unwrap_or(RUNS_AT_WORK);
        Ok(u32::try_from(most).unwrap_or(u32::MAX))
    }

    /// Puts the result into the bucket, and notes it in the header.
    async fn store_result(
        &self,
        key: &RunKey,
        row: &mut RunRow,
        (document, context): (&Document, &Context),
    ) -> Result<(), Error> {
        let result = document.result(context).to_string().into_bytes();
        row.result_sha256 = Some(sha256_hex(&result));
        row.result_bytes = Some(result.len() as u64);
        row.checks = document.coherence(context);
        row.result_subject = document.subject_of(context).unwrap_or_else(|error| {
            row.progress.message = format!("the run completed; its result becomes no version: {error}");
            None
        });
        self.blobs.put(&Blobs::run_result_key(key), "application/json", result).await
    }

    /// What is told of the steps that have failed by a plan.
    fn failed_steps(&self, key: &RunKey, row: &RunRow, plan: &Plan) -> impl Iterator<Item = Notification> {
        let failed = plan.changed.iter().filter_map(|id| Some((id, plan.steps.get(id)?)));
        let failed = failed.filter(|(_, state)| row.notify.webhook && state.status == StepStatus::Failed);
        failed.filter_map(|(id, state)| {
            let data = json!({
                "run": key.run,
                "step": id,
                "pipeline": row.pipeline,
                "generation": state.generation,
                "tries": state.tries,
                "reason": state.error.as_ref().map(|error| &error.code),
                "usage": state.usage,
                "cost": state.cost,
            });
            let Value::Object(data) = data else { return None };
            let (object, to) = (format!("{}/{id}", key.run), Notify { webhook: true, users: Vec::new() });
            Some(Notification::new(&key.organization, EventType::StepFailed, &object, self.clock.now_ms(), data, &to))
        })
    }

    /// What is told of a run that has ended.
    pub(super) fn end_of_run(&self, key: &RunKey, row: &RunRow) -> Option<Notification> {
        let event = match row.progress.status {
            RunStatus::Completed => EventType::RunCompleted,
            RunStatus::Failed => EventType::RunFailed,
            RunStatus::Cancelled => EventType::RunCancelled,
            RunStatus::Pending | RunStatus::Running | RunStatus::Cancelling => return None,
        };
        if !row.notify.webhook && row.notify.users.is_empty() {
            return None;
        }
        let Progress { status, end, completed_steps, total_steps, usage, cost, .. } = &row.progress;
        let data = json!({
            "status": status,
            "pipeline": row.pipeline,
            "reason": end.as_ref().map(|end| end.reason),
            "step": end.as_ref().and_then(|end| end.step.as_ref()),
            "completed_steps": completed_steps,
            "total_steps": total_steps,
            "usage": usage,
            "cost": cost,
            "report": format!("/v1/runs/{}/report", key.run),
        });
        let Value::Object(data) = data else { return None };
        Some(Notification::new(&key.organization, event, key.run.as_str(), self.clock.now_ms(), data, &row.notify))
    }

    /// Cancels the generations of steps that are to end.
    async fn cancel_steps(&self, organization: &Organization, generations: Vec<GenerationId>) {
        let cancels = generations.into_iter().map(|generation| {
            let of = GenerationKey::new(organization.clone(), generation);
            async move {
                match self.cancel(&of).await {
                    // Those that have ended are counted as they have.
                    Ok(_) | Err(Error::AlreadyEnded(..) | Error::NotFound(_)) => {}
                    Err(error) => tracing::warn!(generation = %of.generation, %error, "A step was not cancelled; sweep does it."),
                }
            }
            .boxed()
        });
        stream::iter(cancels.collect::<Vec<_>>()).buffer_unordered(SIDE_BY_SIDE).collect::<()>().await;
    }
}

/// Logs the line of a run that has ended.
pub(super) fn report_end(row: &RunRow) {
    let progress = &row.progress;
    if !progress.status.is_terminal() {
        return;
    }
    tracing::info!(
        name: telemetry::RUN,
        target: telemetry::TARGET,
        runs_ended = 1_u64,
        runs_failed = u64::from(progress.status == RunStatus::Failed),
        run_duration_ms = duration_ms(row.started_at.as_deref(), row.ended_at.as_deref()),
        run_cost_micro_dollars = progress.cost,
        run = %row.id(),
        pipeline = row.pipeline.name,
        pipeline_version = row.pipeline.version,
        status = progress.status.name(),
        reason = progress.end.as_ref().map_or("none", |end| end.reason.name()),
        step = progress.end.as_ref().and_then(|end| end.step.as_deref()),
        completed_steps = progress.completed_steps,
        total_steps = progress.total_steps,
        "A run has ended."
    );
}

/// The request of a try, which ends no later than its run.
fn in_time(start: &Start, deadline_ms: Option<i64>, now_ms: i64) -> Value {
    let mut request = start.request.clone();
    let left = deadline_ms.map_or(u64::MAX, |deadline| (deadline - now_ms).max(1_000).cast_unsigned() / 1_000);
    let own = request["timeout"].as_u64().unwrap_or(u64::MAX);
    if let Some(timeout) = request.get_mut("timeout") {
        *timeout = own.min(left).into();
    }
    request
}

/// The generations that run.
fn running(steps: &Steps) -> Vec<GenerationId> {
    let is_running = |state: &&StepState| state.status == StepStatus::Running;
    steps.values().filter(is_running).filter_map(|state| state.generation.clone()).collect()
}

/// The steps whose newest answer was not accepted, and that are told why when they are tried again: the answer's generation, and what was wrong.
fn unaccepted(document: &Document, steps: &Steps, news: &[News]) -> Vec<(String, GenerationId, String)> {
    let is_unaccepted = |failure: &Failure| RetryOn::of(&failure.code) == Some(RetryOn::ValidationError);
    let wants = |id: &str| document.step(id).is_some_and(|step| step.feedback);
    let told = news.iter().filter_map(|news| Some((&news.step, &news.generation, news.failure.as_ref()?)));
    let waiting = steps.iter().filter(|(_, state)| state.status == StepStatus::Waiting);
    let waiting = waiting.filter_map(|(id, state)| Some((id, state.generation.as_ref()?, state.error.as_ref()?)));
    let all = told.chain(waiting).filter(|(id, _, failure)| wants(id) && is_unaccepted(failure));
    all.map(|(id, generation, failure)| (id.clone(), generation.clone(), failure.message.clone())).collect()
}

/// What a record tells its run's step; `None`: it has no outcome yet.
pub(super) fn told(record: &RecordRow) -> Option<(RunKey, News)> {
    let outcome = record.outcome.as_ref()?;
    let (run, step) = record.step()?;
    let code = || outcome.reason.clone().unwrap_or_else(|| record.status.as_str().to_owned());
    let of_outcome = || {
        outcome
            .error
            .clone()
            .unwrap_or_else(|| Failure { code: code(), message: format!("it ended as {}", record.status.as_str()) })
    };
    let failure = match record.status {
        Status::Completed if outcome.bytes > OUTPUT_INLINE_BYTES_MAX => {
            let message = format!("the output has {} bytes; that of a step may have {OUTPUT_INLINE_BYTES_MAX}", outcome.bytes);
            Some(Failure { code: reason::OUTPUT_LIMIT.into(), message })
        }
        Status::Completed => None,
        Status::Cancelled => Some(Failure { code: plan::CANCELLED.into(), message: "its generation was cancelled".into() }),
        Status::Pending | Status::Running | Status::Incomplete | Status::Failed => Some(of_outcome()),
    };
    let news = News {
        step: step.to_owned(),
        generation: record.generation.clone(),
        usage: outcome.usage.map(|usage| usage.total).unwrap_or_default(),
        cost: outcome.cost.unwrap_or(0),
        failure,
    };
    Some((run, news))
}
