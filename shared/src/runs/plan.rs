//! The one step of a run: counts what has ended, and says what begins then.
//!
//! The rules know neither a clock nor a store. A plan is written as one transaction, on the condition of the run's revision. So one that is
//! repeated, late, or beside another one changes nothing, or is made again from what is stored then.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Changed, Entry, EntryType, News, Progress, RunEnd, RunReason, RunStatus, StepState, StepStatus, Steps};
use crate::generation::Failure;
use crate::ids::GenerationId;
use crate::pipelines::{Context, Document, Done, DoneStatus, Feedback, OnError, RetryOn, Step};
use crate::providers::Fault;

/// The code of a step's failure whose texts could not be rendered.
pub const TEMPLATE_ERROR: &str = "template_error";
/// The code of a step's failure whose generation was cancelled.
pub const CANCELLED: &str = "cancelled";
/// The code of a step's failure whose generation was deleted.
pub const PURGED: &str = "purged";
/// How long a step waits for its next try after the provider asked to come less often: the first time, and from then on.
const PAUSES_MS: [i64; 2] = [10_000, 30_000];

/// What a plan is made from, beside the run itself.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The pipeline.
    pub document: &'a Document,
    /// The run's input.
    pub input: &'a Value,
    /// Outputs of steps that have completed, those of the news included: at least those that [`outputs`] names.
    pub outputs: &'a BTreeMap<String, Value>,
    /// The steps that have completed, and whose outputs are not to be had: why.
    pub lost: &'a BTreeMap<String, String>,
    /// Of the steps whose newest answer was not accepted, and that are told why: the answer and its errors.
    pub feedback: &'a BTreeMap<String, Feedback>,
    /// Requests that were refused when they were made from an earlier plan, by their steps: why.
    pub refused: &'a BTreeMap<String, String>,
    /// How many generations may be created.
    pub starts_max: usize,
    /// Now, milliseconds since the epoch.
    pub now_ms: i64,
}

/// A step of the caller's, beside the news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Goes on by the news and the time.
    GoOn,
    /// It has a place now.
    Begin,
    /// The caller cancels it.
    Cancel,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The run then.
    pub progress: Progress,
    /// Its steps then.
    pub steps: Steps,
    /// Those that change.
    pub changed: Changed,
    /// The generations that are to be created.
    pub starts: Vec<Start>,
    /// What is entered in the execution log.
    pub entries: Vec<Entry>,
}

/// A generation that is to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The step.
    pub step: String,
    /// The number of the try.
    pub number: u32,
    /// The generation.
    pub generation: GenerationId,
    /// Its request, as `POST /v1/generations` takes it.
    pub request: Value,
}

/// Whether a plan may start steps, or complete the run: if not, it needs no input and no outputs.
#[must_use]
pub fn may_start(progress: &Progress, act: Act, now_ms: i64) -> bool {
    let is_at_work = progress.status == RunStatus::Running || act == Act::Begin && progress.status == RunStatus::Pending;
    is_at_work && act != Act::Cancel && progress.end.is_none() && progress.deadline_ms.is_none_or(|deadline| now_ms < deadline)
}

/// The steps whose outputs must be known to plan: those that any step is made of which may start, and all of them where nothing is left to
/// start, of which the result is made. `plan`: what was planned with the outputs that were known; it may have come to further steps.
#[must_use]
pub fn outputs(document: &Document, steps: &Steps, news: &[News], plan: Option<&Plan>) -> BTreeSet<String> {
    let of = |steps: &Steps, id: &str| steps.get(id).map(|state| state.status).unwrap_or_default();
    let is_over = |status| matches!(status, StepStatus::Completed | StepStatus::Skipped | StepStatus::Failed);
    let has_completed = |id: &str| news.iter().any(|news| news.step == id && news.failure.is_none());
    let has_ended =
        |id: &str| is_over(of(steps, id)) || has_completed(id) || plan.is_some_and(|plan| is_over(of(&plan.steps, id)));
    let wants_all = plan.map_or_else(
        || document.steps.iter().all(|step| has_ended(&step.id)),
        |plan| plan.progress.status == RunStatus::Completed,
    );
    if wants_all {
        return document.steps.iter().map(|step| step.id.clone()).collect();
    }
    // One that has failed by this news may be tried again at once.
    let may_start = |step: &&Step| {
        let status = of(steps, &step.id);
        let is_told = news.iter().any(|news| news.step == step.id && news.failure.is_some());
        (status == StepStatus::Waiting || status == StepStatus::Running && is_told) && step.needs.iter().all(|id| has_ended(id))
    };
    document.steps.iter().filter(may_start).flat_map(Step::outputs).collect()
}

/// Plans how a run goes on; `None`: nothing changes.
///
/// `mint` makes ids of generations.
pub fn plan(
    (progress, steps): (&Progress, &Steps),
    news: &[News],
    act: Act,
    known: Known<'_>,
    mint: impl FnMut() -> GenerationId,
) -> Option<Plan> {
    if progress.status.is_terminal() {
        return None;
    }
    let planned = Plan {
        progress: progress.clone(),
        steps: steps.clone(),
        changed: Changed::new(),
        starts: Vec::new(),
        entries: Vec::new(),
    };
    let mut planner = Planner { plan: planned, known, mint };
    for news in news {
        planner.count(news);
    }
    planner.act(act);
    planner.check_limits();
    while planner.starts_one() {}
    planner.finish();
    let mut plan = planner.plan;
    (plan.progress != *progress || !plan.changed.is_empty()).then(|| {
        plan.progress.revision += 1;
        plan.progress.step_changes += plan.changed.len() as u64;
        for step in &plan.changed {
            plan.steps.entry(step.clone()).or_default().changes += 1;
        }
        if let Some(last) = plan.entries.last() {
            plan.progress.message.clone_from(&last.message);
        }
        plan
    })
}

/// What the templates of a run see, once these steps are so.
#[must_use]
pub fn context(input: &Value, steps: &Steps, outputs: &BTreeMap<String, Value>) -> Context {
    let done = |(id, state): (&String, &StepState)| {
        let status = match state.status {
            StepStatus::Completed => DoneStatus::Completed,
            StepStatus::Skipped => DoneStatus::Skipped,
            StepStatus::Failed => DoneStatus::Failed,
            StepStatus::Waiting | StepStatus::Running | StepStatus::Cancelled => return None,
        };
        let output = outputs.get(id).filter(|_| status == DoneStatus::Completed).cloned().unwrap_or_default();
        Some((id.clone(), Done { status, output }))
    };
    Context { input: input.clone(), steps: steps.iter().filter_map(done).collect() }
}

struct Planner<'a, M> {
    plan: Plan,
    known: Known<'a>,
    mint: M,
}

impl<M: FnMut() -> GenerationId> Planner<'_, M> {
    fn goes_on(&self) -> bool {
        self.plan.progress.status == RunStatus::Running && self.plan.progress.end.is_none()
    }

    fn state(&self, step: &str) -> StepState {
        self.plan.steps.get(step).cloned().unwrap_or_default()
    }

    fn status(&self, step: &str) -> StepStatus {
        self.plan.steps.get(step).map_or(StepStatus::Waiting, |state| state.status)
    }

    fn change(&mut self, step: &str, state: StepState) {
        self.plan.changed.insert(step.to_owned());
        self.plan.steps.insert(step.to_owned(), state);
    }

    fn enter(&mut self, entry_type: EntryType, step: Option<(&str, &StepState)>, message: String) {
        let entry = Entry {
            entry_type,
            step: step.map(|(id, _)| id.to_owned()),
            phase: None,
            generation: step.and_then(|(_, state)| state.generation.clone()),
            number: step.map(|(_, state)| state.tries).filter(|number| *number > 0),
            message,
        };
        self.plan.entries.push(entry);
    }

    fn enter_phase(&mut self, entry_type: EntryType, phase: &str, what: &str) {
        let title = self.known.document.phases.iter().find(|known| known.id == phase).map_or(phase, |known| &known.title);
        let message = format!("{title} {what}");
        self.plan.entries.push(Entry {
            entry_type,
            step: None,
            phase: Some(phase.to_owned()),
            generation: None,
            number: None,
            message,
        });
    }

    fn end(&mut self, reason: RunReason, step: Option<&str>, message: String) {
        if self.plan.progress.end.is_none() {
            self.plan.progress.end = Some(RunEnd { reason, step: step.map(str::to_owned), message });
        }
    }

    /// Counts the end of a step's newest try; anything else was counted before.
    fn count(&mut self, news: &News) {
        let mut state = self.state(&news.step);
        let is_of_this_try = state.status == StepStatus::Running && state.generation.as_ref() == Some(&news.generation);
        let Some(step) = self.known.document.step(&news.step).filter(|_| is_of_this_try) else { return };
        state.usage = state.usage.plus(news.usage);
        state.cost = state.cost.saturating_add(news.cost);
        let progress = &mut self.plan.progress;
        progress.usage = progress.usage.plus(news.usage);
        progress.cost = progress.cost.saturating_add(news.cost);
        match &news.failure {
            None => {
                (state.status, state.error, state.ended_ms) = (StepStatus::Completed, None, Some(self.known.now_ms));
                self.enter(EntryType::StepCompleted, Some((&step.id, &state)), format!("{} completed", step.id));
                self.change(&step.id, state);
            }
            Some(failure) => self.count_failure(step, state, failure.clone()),
        }
    }

    fn count_failure(&mut self, step: &Step, mut state: StepState, failure: Failure) {
        // The same request would be refused again.
        let is_final = [CANCELLED, PURGED].contains(&failure.code.as_str())
            || Fault::ALL.iter().any(|fault| fault.code() == failure.code && !fault.is_retryable());
        let is_wanted = !is_final && RetryOn::of(&failure.code).is_some_and(|kind| step.retry_on.contains(&kind));
        let is_affordable = step.max_cost.is_none_or(|most| state.cost < most);
        let is_retried = self.goes_on() && is_wanted && is_affordable && state.tries <= step.retries;
        let message = format!("{}: {}", failure.code, failure.message);
        state.error = Some(failure.clone());
        if is_retried {
            state.status = StepStatus::Waiting;
            state.ready_at_ms = pause_ms(&failure.code, state.tries).map(|pause| self.known.now_ms + pause);
            let number = format!("{} of {}", state.tries, step.retries + 1);
            self.enter(
                EntryType::StepRetried,
                Some((&step.id, &state)),
                format!("{} is tried again: try {number}: {message}", step.id),
            );
            self.change(&step.id, state);
            return;
        }
        self.fail(step, state, failure);
    }

    /// The step has failed for good.
    fn fail(&mut self, step: &Step, mut state: StepState, failure: Failure) {
        let is_ended_by_run = self.plan.progress.end.is_some();
        state.status = if is_ended_by_run { StepStatus::Cancelled } else { StepStatus::Failed };
        state.ended_ms = Some(self.known.now_ms);
        let message = format!("{} failed: {}: {}", step.id, failure.code, failure.message);
        state.error = Some(failure);
        if !is_ended_by_run {
            self.enter(EntryType::StepFailed, Some((&step.id, &state)), message.clone());
            if step.on_error == OnError::Fail {
                self.end(RunReason::StepFailed, Some(&step.id), message);
            }
        }
        self.change(&step.id, state);
    }

    fn act(&mut self, act: Act) {
        match (act, self.plan.progress.status) {
            (Act::Begin, RunStatus::Pending) => {
                self.plan.progress.status = RunStatus::Running;
                let timeout = i64::try_from(self.known.document.limits.timeout.as_millis()).unwrap_or(i64::MAX);
                self.plan.progress.deadline_ms = Some(self.known.now_ms.saturating_add(timeout));
                self.enter(EntryType::Started, None, "the run has started".to_owned());
            }
            (Act::Cancel, RunStatus::Pending | RunStatus::Running) if self.plan.progress.end.is_none() => {
                self.enter(EntryType::CancelRequested, None, "the run is being cancelled".to_owned());
                self.end(RunReason::Cancelled, None, "the run was cancelled".to_owned());
            }
            _ => {}
        }
    }

    fn check_limits(&mut self) {
        if !self.goes_on() {
            return;
        }
        let limits = &self.known.document.limits;
        if let Some((lost, why)) = self.known.lost.iter().next() {
            self.end(RunReason::StepFailed, Some(lost), why.clone());
        } else if let Some(most) = limits.max_cost.filter(|most| self.plan.progress.cost > *most) {
            let message = format!("the run has cost {} micro-dollars, and may cost {most}", self.plan.progress.cost);
            self.end(RunReason::SpendLimit, None, message);
        } else if self.plan.progress.deadline_ms.is_some_and(|deadline| self.known.now_ms >= deadline) {
            let message = format!("the run has taken longer than {} s", limits.timeout.as_secs());
            self.end(RunReason::Timeout, None, message);
        }
    }

    /// Starts or skips the next step that can be, or fails it. Returns whether there was one.
    fn starts_one(&mut self) -> bool {
        if !self.goes_on() {
            return false;
        }
        let document = self.known.document;
        let has_ended = |id: &String| matches!(self.status(id), StepStatus::Completed | StepStatus::Skipped | StepStatus::Failed);
        let running = self.plan.steps.values().filter(|state| state.status == StepStatus::Running).count();
        let has_place = running < usize::try_from(document.limits.max_parallel).unwrap_or(usize::MAX)
            && self.plan.starts.len() < self.known.starts_max;
        let is_ready = |step: &&Step| {
            let state = self.state(&step.id);
            state.status == StepStatus::Waiting
                && state.ready_at_ms.is_none_or(|at| at <= self.known.now_ms)
                && step.needs.iter().all(has_ended)
        };
        // Without a place, one that is skipped lets others begin all the same.
        let ready =
            document.steps.iter().filter(is_ready).find(|step| has_place || step.when.is_some() && self.is_unwanted(step));
        let Some(step) = ready else { return false };
        self.start(step);
        true
    }

    fn is_unwanted(&self, step: &Step) -> bool {
        self.state(&step.id).tries == 0 && step.is_wanted(&self.context()).is_ok_and(|is_wanted| !is_wanted)
    }

    fn start(&mut self, step: &Step) {
        let (context, mut state) = (self.context(), self.state(&step.id));
        if state.tries == 0 {
            match step.is_wanted(&context) {
                Ok(true) => {}
                Ok(false) => {
                    (state.status, state.ended_ms) = (StepStatus::Skipped, Some(self.known.now_ms));
                    self.enter(EntryType::StepSkipped, Some((&step.id, &state)), format!("{} was skipped", step.id));
                    self.change(&step.id, state);
                    return;
                }
                Err(error) => return self.fail(step, state, template_error(&error)),
            }
        }
        if let Some(message) = self.known.refused.get(&step.id) {
            return self.fail(step, state, template_error(message));
        }
        let request = match step.request(&context, self.known.feedback.get(&step.id)) {
            Ok(request) => request,
            Err(error) => return self.fail(step, state, template_error(&error)),
        };
        let generation = (self.mint)();
        state.earlier.extend(state.generation.replace(generation.clone()));
        (state.status, state.ready_at_ms, state.tries) = (StepStatus::Running, None, state.tries + 1);
        state.started_ms = state.started_ms.or(Some(self.known.now_ms));
        self.enter_started_phase(step);
        let message = if state.tries > 1 {
            format!("{} has started: try {}", step.id, state.tries)
        } else {
            format!("{} has started", step.id)
        };
        self.enter(EntryType::StepStarted, Some((&step.id, &state)), message);
        self.plan.starts.push(Start { step: step.id.clone(), number: state.tries, generation, request });
        self.change(&step.id, state);
    }

    fn enter_started_phase(&mut self, step: &Step) {
        let Some(phase) = &step.phase else { return };
        let mut of_phase = self.known.document.steps.iter().filter(|other| other.phase.as_ref() == Some(phase));
        if of_phase.all(|other| self.state(&other.id).tries == 0 && self.status(&other.id) != StepStatus::Completed) {
            self.enter_phase(EntryType::PhaseStarted, phase, "has started");
        }
        self.plan.progress.phase = Some(phase.clone());
    }

    fn context(&self) -> Context {
        context(self.known.input, &self.plan.steps, self.known.outputs)
    }

    /// Counts what there is by now, and ends the run once nothing is left to do.
    fn finish(&mut self) {
        let document = self.known.document;
        let is_running = |step: &&Step| self.status(&step.id) == StepStatus::Running;
        let running: Vec<String> = document.steps.iter().filter(is_running).map(|step| step.id.clone()).collect();
        let is_ended =
            |step: &Step| matches!(self.status(&step.id), StepStatus::Completed | StepStatus::Skipped | StepStatus::Failed);
        // A step that has ended the run is not one of those that are done.
        let ended_by = self.plan.progress.end.as_ref().and_then(|end| end.step.clone());
        let done = document.steps.iter().filter(|step| is_ended(step) && ended_by.as_ref() != Some(&step.id)).count();
        let (has_ended_all, is_idle) = (done == document.steps.len(), running.is_empty());
        self.enter_completed_phases();
        let progress = &mut self.plan.progress;
        progress.completed_steps = u32::try_from(done).unwrap_or(u32::MAX);
        progress.current_steps = running;
        match progress.end.clone() {
            Some(_) if !is_idle => progress.status = RunStatus::Cancelling,
            Some(end) => {
                let (status, entry_type) = match end.reason {
                    RunReason::Cancelled => (RunStatus::Cancelled, EntryType::Cancelled),
                    RunReason::Timeout => (RunStatus::Failed, EntryType::Timeout),
                    RunReason::ValidationError | RunReason::StepFailed | RunReason::SpendLimit => {
                        (RunStatus::Failed, EntryType::Failed)
                    }
                };
                progress.status = status;
                self.enter(entry_type, None, end.message);
            }
            None if has_ended_all && progress.status == RunStatus::Running => {
                progress.status = RunStatus::Completed;
                self.enter(EntryType::Completed, None, "the run completed".to_owned());
            }
            None => {}
        }
    }

    fn enter_completed_phases(&mut self) {
        if self.plan.progress.end.is_some() {
            return;
        }
        for phase in &self.known.document.phases {
            let of_phase: Vec<&Step> =
                self.known.document.steps.iter().filter(|step| step.phase.as_ref() == Some(&phase.id)).collect();
            let is_over =
                |step: &&Step| matches!(self.status(&step.id), StepStatus::Completed | StepStatus::Skipped | StepStatus::Failed);
            let changes = of_phase.iter().any(|step| self.plan.changed.contains(&step.id) && is_over(step));
            if changes && of_phase.iter().all(is_over) {
                self.enter_phase(EntryType::PhaseCompleted, &phase.id, "completed");
            }
        }
    }
}

fn template_error(error: &impl ToString) -> Failure {
    Failure { code: TEMPLATE_ERROR.into(), message: error.to_string() }
}

/// How long the next try waits, where the provider asked to come less often.
fn pause_ms(code: &str, tries: u32) -> Option<i64> {
    let is_asked_to_wait = code == Fault::RateLimited.code();
    let index = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES_MS.len() - 1);
    is_asked_to_wait.then_some(PAUSES_MS[index])
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
