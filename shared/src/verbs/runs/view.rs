//! Runs and their steps as callers see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::app::App;
use crate::aws::{Blobs, PinnedPipeline, RunRow};
use crate::clock::{duration_ms, rfc3339};
use crate::error::Error;
use crate::generation::Failure;
use crate::generation::usage::Usage;
use crate::ids::{GenerationId, GenerationKey, KeyId, Organization, RunId, RunKey, SubjectId};
use crate::limits::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, LIST_SCAN_MAX, OUTPUT_INLINE_BYTES_MAX, OUTPUT_URL_TTL};
use crate::pipelines::{CheckResult, Document, PipelineRef, Step};
use crate::runs::{Progress, RunReason, RunStatus, StepState, StepStatus, Steps};
use crate::verbs::generations::list::page_limit;

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// Always `run`.
    #[serde(skip_deserializing, default = "run_object")]
    pub object: &'static str,
    /// What it runs.
    pub pipeline: PinnedPipeline,
    /// Its status.
    pub status: RunStatus,
    /// Why it has no result.
    pub reason: Option<RunReason>,
    /// The same for people, and the step that failed.
    pub error: Option<RunError>,
    /// How far it is.
    pub progress: RunProgress,
    /// The tokens of all tries that have ended.
    pub token_usage: TokenUsage,
    /// Micro-dollars of them.
    pub cost: u64,
    /// The subject whose next version the result becomes.
    pub subject: Option<SubjectId>,
    /// Whether each of the pipeline's checks is true of the result. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<CheckResult>>,
    /// RFC 3339.
    pub created_at: String,
    /// When it had its place, RFC 3339.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub ended_at: Option<String>,
    /// When it fails with `timeout`, RFC 3339.
    pub deadline_at: Option<String>,
    /// The run whose completed steps it keeps.
    pub redrive_of: Option<RunId>,
    /// The key that it was started with.
    pub created_by: Option<KeyId>,
    /// Grows with each change.
    pub revision: u64,
    /// The caller's own entries.
    pub metadata: Box<RawValue>,
    /// The result. Only of one run that has completed, not in lists; absent where it is larger than [`OUTPUT_INLINE_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// A presigned URL for a result that is too large to be inline; valid for [`OUTPUT_URL_TTL`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_url: Option<String>,
}

/// How a run ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// The step that failed.
    pub step: Option<String>,
    /// Why.
    pub message: String,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    /// The phase of the step that was started last.
    pub phase: Option<String>,
    /// The first of the steps that run.
    pub current_step: Option<String>,
    /// The steps that run.
    pub current_steps: Vec<String>,
    /// Steps that have ended.
    pub completed_steps: u32,
    /// All steps.
    pub total_steps: u32,
    /// Of all steps, in percent with one decimal.
    pub percentage: f64,
    /// What happened last, for people.
    pub message: String,
}

/// The tokens of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// All.
    pub total_tokens: u64,
    /// Of the prompts.
    pub total_prompt_tokens: u64,
    /// Of the outputs.
    pub total_completion_tokens: u64,
    /// Of each step that was begun, with all its tries. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_step: Option<BTreeMap<String, StepUsage>>,
}

/// The tokens of a step, with all its tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepUsage {
    /// Of the prompts.
    pub prompt_tokens: u64,
    /// Of the outputs.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// Micro-dollars.
    pub cost: u64,
    /// Tries begun.
    pub tries: u32,
    /// From the first try to the end.
    pub duration_ms: Option<u64>,
}

/// A step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepView {
    /// Its id.
    pub id: String,
    /// Always `run_step`.
    #[serde(skip_deserializing, default = "step_object")]
    pub object: &'static str,
    /// What people call it.
    pub title: String,
    /// The phase that it is displayed in.
    pub phase: Option<String>,
    /// The steps that it waits for.
    pub needs: Vec<String>,
    /// Its status.
    pub status: StepStatus,
    /// The generation of its newest try, which can be followed as any other.
    pub generation: Option<GenerationId>,
    /// The generations of all its tries, in their order.
    pub generations: Vec<GenerationId>,
    /// Tries begun.
    pub tries: u32,
    /// Tries that it may have.
    pub tries_max: u32,
    /// Why its newest try that has ended did not complete.
    pub error: Option<Failure>,
    /// The tokens of its tries that have ended.
    pub usage: Usage,
    /// Micro-dollars of them.
    pub cost: u64,
    /// When its first try was started, RFC 3339.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub ended_at: Option<String>,
    /// Not tried again before this moment, RFC 3339.
    pub ready_at: Option<String>,
    /// It was completed by the run that this one repeats.
    pub inherited: bool,
}

/// The steps of a run, in the order of the document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them.
    pub data: Vec<StepView>,
}

/// A page of runs, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them. With a filter, a page may have fewer than there are, and none.
    pub data: Vec<RunView>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page: the id of the last run that was looked at.
    pub last_id: Option<RunId>,
}

/// Which runs a list has. The default: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Those behind this one.
    pub after: Option<RunId>,
    /// How many, 1 to [`LIST_LIMIT_MAX`].
    pub limit: Option<usize>,
    /// Those of this pipeline, and of this version if one is named.
    pub pipeline: Option<PipelineRef>,
    /// Those with this status.
    pub status: Option<RunStatus>,
}

const fn run_object() -> &'static str {
    "run"
}

const fn step_object() -> &'static str {
    "run_step"
}

const fn list() -> &'static str {
    "list"
}

impl RunProgress {
    pub(super) fn of(progress: &Progress) -> Self {
        let tenths = f64::from(progress.completed_steps) * 1_000.0 / f64::from(progress.total_steps.max(1));
        Self {
            phase: progress.phase.clone(),
            current_step: progress.current_steps.first().cloned(),
            current_steps: progress.current_steps.clone(),
            completed_steps: progress.completed_steps,
            total_steps: progress.total_steps,
            percentage: tenths.round() / 10.0,
            message: progress.message.clone(),
        }
    }
}

impl From<RunRow> for RunView {
    fn from(row: RunRow) -> Self {
        let usage = row.progress.usage;
        Self {
            id: row.id().clone(),
            object: run_object(),
            pipeline: row.pipeline,
            status: row.progress.status,
            reason: row.progress.end.as_ref().map(|end| end.reason),
            error: row.progress.end.as_ref().map(|end| RunError { step: end.step.clone(), message: end.message.clone() }),
            progress: RunProgress::of(&row.progress),
            token_usage: TokenUsage {
                total_tokens: usage.total_tokens,
                total_prompt_tokens: usage.input_tokens,
                total_completion_tokens: usage.output_tokens,
                by_step: None,
            },
            cost: row.progress.cost,
            subject: row.result_subject,
            checks: None,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            deadline_at: row.progress.deadline_ms.map(rfc3339),
            redrive_of: row.redrive_of,
            created_by: row.created_by,
            revision: row.progress.revision,
            metadata: RawValue::from_string(row.metadata).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            result: None,
            result_url: None,
        }
    }
}

impl StepView {
    /// A step of a run that has ended, or has not.
    pub(super) fn of(step: &Step, state: Option<&StepState>, has_ended: bool) -> Self {
        let state = state.cloned().unwrap_or_default();
        // What was not begun when the run ended never will be.
        let status = if has_ended && state.status == StepStatus::Waiting { StepStatus::Cancelled } else { state.status };
        let generations = state.earlier.into_iter().chain(state.generation.clone()).collect();
        Self {
            id: step.id.clone(),
            object: step_object(),
            title: step.title.clone(),
            phase: step.phase.clone(),
            needs: step.needs.clone(),
            status,
            generation: state.generation,
            generations,
            tries: state.tries,
            tries_max: step.retries + 1,
            error: state.error,
            usage: state.usage,
            cost: state.cost,
            started_at: state.started_ms.map(rfc3339),
            ended_at: state.ended_ms.map(rfc3339),
            ready_at: state.ready_at_ms.map(rfc3339),
            inherited: state.is_inherited,
        }
    }
}

/// The tokens of each step that was begun.
fn by_step(steps: &Steps) -> BTreeMap<String, StepUsage> {
    let usage = |state: &StepState| StepUsage {
        prompt_tokens: state.usage.input_tokens,
        completion_tokens: state.usage.output_tokens,
        total_tokens: state.usage.total_tokens,
        cost: state.cost,
        tries: state.tries,
        duration_ms: state.started_ms.zip(state.ended_ms).and_then(|(from, to)| u64::try_from(to - from).ok()),
    };
    steps.iter().map(|(id, state)| (id.clone(), usage(state))).collect()
}

impl App {
    /// A run, with its result if it has completed.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::Aws`].
    pub async fn run(&self, key: &RunKey) -> Result<RunView, Error> {
        let (row, steps) = self.run_rows(key).await?;
        let (result, result_url) = match row.result_bytes {
            None => (None, None),
            Some(bytes) if bytes > OUTPUT_INLINE_BYTES_MAX => {
                (None, Some(self.blobs.presigned_url(&Blobs::run_result_key(key), OUTPUT_URL_TTL).await?))
            }
            Some(_) => (self.result_of_run(key).await?, None),
        };
        let checks = Some(row.checks.clone());
        let mut view = RunView { checks, result, result_url, ..RunView::from(row) };
        view.token_usage.by_step = Some(by_step(&steps));
        Ok(view)
    }

    /// The same; `None`: there is no such run.
    pub(super) async fn run_if_any(&self, key: &RunKey) -> Result<Option<RunView>, Error> {
        match self.run(key).await {
            Ok(run) => Ok(Some(run)),
            Err(Error::RunNotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The result of a run that has completed, of whatever size.
    async fn result_of_run(&self, key: &RunKey) -> Result<Option<Box<RawValue>>, Error> {
        let stored = self.blobs.get(&Blobs::run_result_key(key)).await?;
        Ok(stored.and_then(|json| String::from_utf8(json).ok()).and_then(|json| RawValue::from_string(json).ok()))
    }

    /// The revision of a run, by which its reader knows whether anything has changed.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::Aws`].
    pub async fn run_revision(&self, key: &RunKey) -> Result<u64, Error> {
        Ok(self.run_row(key).await?.progress.revision)
    }

    /// A page of runs. A filter looks at [`LIST_SCAN_MAX`] runs at most.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: `limit` is out of bounds. [`Error::Aws`].
    pub async fn runs(&self, organization: &Organization, query: &RunQuery) -> Result<RunList, Error> {
        let limit = page_limit(query.limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        let mut page = RunList { object: list(), data: Vec::new(), has_more: true, last_id: query.after.clone() };
        let is_of_pipeline = |row: &RunRow, wanted: &PipelineRef| {
            row.pipeline.name == wanted.name.as_str() && wanted.version.is_none_or(|version| version == row.pipeline.version)
        };
        let is_selected = |row: &RunRow| {
            query.status.is_none_or(|status| status == row.progress.status)
                && query.pipeline.as_ref().is_none_or(|wanted| is_of_pipeline(row, wanted))
        };
        let (has_filter, mut scanned, mut is_empty) = (query.status.is_some() || query.pipeline.is_some(), 0, true);
        while page.has_more && page.data.len() < limit && scanned < LIST_SCAN_MAX {
            let most = if has_filter { LIST_LIMIT_MAX } else { limit - page.data.len() };
            let found = self.records.runs(organization, page.last_id.as_ref(), most).await?;
            is_empty &= found.last.is_none();
            (page.has_more, page.last_id, scanned) = (found.has_more, found.last.or(page.last_id), scanned + most);
            let mut selected = found.runs.into_iter().filter(is_selected);
            page.data.extend(selected.by_ref().take(limit - page.data.len()).map(RunView::from));
            if selected.next().is_some() {
                page.has_more = true;
                page.last_id = page.data.last().map(|run| run.id.clone());
            }
        }
        page.last_id = page.last_id.filter(|_| !is_empty);
        Ok(page)
    }

    /// The steps of a run, in the order of the document.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::Aws`].
    pub async fn run_steps(&self, key: &RunKey) -> Result<StepList, Error> {
        let (row, steps) = self.run_rows(key).await?;
        let pipeline = self.pipeline_of(key, &row).await?;
        let has_ended = row.progress.status.is_terminal();
        let views = pipeline.document.steps.iter().map(|step| StepView::of(step, steps.get(&step.id), has_ended));
        Ok(StepList { object: list(), data: views.collect() })
    }

    /// A step of a run.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::StepNotFound`]; [`Error::Aws`].
    pub async fn run_step(&self, key: &RunKey, id: &str) -> Result<StepView, Error> {
        let found = self.run_steps(key).await?.data.into_iter().find(|step| step.id == id);
        found.ok_or_else(|| Error::StepNotFound(key.run.to_string(), id.to_owned()))
    }

    /// What a run has at a path: `result…`, or `steps.E9.output…`. `None`: nothing.
    pub(super) async fn value_of_run(
        &self,
        key: &RunKey,
        (row, steps, document): (&RunRow, &Steps, &Document),
        path: &str,
    ) -> Result<Option<Value>, Error> {
        let mut names = path.split('.');
        let value = match (names.next(), row.progress.status) {
            (Some("result"), RunStatus::Completed) => {
                self.result_of_run(key).await?.and_then(|json| serde_json::from_str(json.get()).ok())
            }
            (Some("steps"), _) => {
                let id = names.next().unwrap_or_default();
                let state = steps.get(id).filter(|state| state.status == StepStatus::Completed);
                let Some(generation) = state.and_then(|state| state.generation.clone()) else { return Ok(None) };
                let of = GenerationKey::new(key.organization.clone(), generation);
                let is_json = document.step(id).is_some_and(|step| step.output.is_some());
                let output = self.output_of_step(&of, is_json).await?;
                output.map(|(output, _)| json!({ "output": output }))
            }
            _ => None,
        };
        Ok(value.and_then(|value| {
            names.try_fold(value, |value, name| {
                let index = name.parse::<usize>().ok();
                value.get(name).or_else(|| value.get(index?)).cloned()
            })
        }))
    }

    /// A run's header.
    pub(super) async fn run_row(&self, key: &RunKey) -> Result<RunRow, Error> {
        self.records.run(key).await?.ok_or_else(|| Error::RunNotFound(key.run.to_string()))
    }

    /// A run's header and its steps.
    pub(super) async fn run_rows(&self, key: &RunKey) -> Result<(RunRow, Steps), Error> {
        self.records.run_and_steps(key).await?.ok_or_else(|| Error::RunNotFound(key.run.to_string()))
    }
}

impl RunView {
    /// Milliseconds from its place to its end.
    #[must_use]
    pub fn duration_ms(&self) -> Option<u64> {
        duration_ms(self.started_at.as_deref(), self.ended_at.as_deref())
    }
}
