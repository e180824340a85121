//! `start` of a run: checks its input, stores it, and begins it if it has a place.

use serde_json::{Map, Value};
use tokio::time::sleep;

use crate::app::App;
use crate::aws::{Blobs, CreatedRun, EntryRow, PinnedPipeline, RunRow, StepRow};
use crate::clock::rfc3339;
use crate::error::{Error, FieldError, InvalidInput};
use crate::hash::sha256_hex;
use crate::ids::{Organization, RunId, RunKey, SubjectKey};
use crate::json::json_bytes;
use crate::limits::{OUTPUT_INLINE_BYTES_MAX, REQUEST_INLINE_BYTES_MAX, RUN_INPUT_BYTES_MAX, RUNS_WAITING_MAX};
use crate::notifications::notify::Notify;
use crate::pipelines::{Document, InputErrors, Pipeline};
use crate::retry::{self, BackoffBuilder};
use crate::runs::plan::Act;
use crate::runs::request::{InputFrom, RunRequest};
use crate::runs::{Entry, EntryType, Progress, RunEnd, RunReason, RunStatus};
use crate::verbs::runs::advance::report_end;
use crate::verbs::runs::view::RunView;

/// The name that keeps the idempotency keys of runs apart from others.
pub(super) const RUNS: &str = "runs";
/// The revision of a run that was just stored.
const FIRST_REVISION: u64 = 1;

/// A run that is to be stored.
pub(super) struct NewRun {
    pub row: RunRow,
    pub input: Value,
    pub steps: Vec<StepRow>,
    pub message: String,
}

impl App {
    /// Stores a run, and begins it if its organization has a place free. The same request with the same key comes to the same run.
    ///
    /// # Errors
    /// [`Error::PipelineNotFound`]; [`Error::InvalidInput`] with every error of the input, and nothing is stored unless the request asks for
    /// it; [`Error::InvalidRequest`]: a key of the wrong length, or an earlier result that is not there; [`Error::IdempotencyConflict`];
    /// [`Error::TooManyRuns`]; [`Error::Aws`], after which the same request with the same key completes what this one began.
    pub async fn start_run(
        &self,
        organization: &Organization,
        request: &RunRequest,
        idempotency_key: Option<&str>,
    ) -> Result<RunView, Error> {
        // First: a key answers with the run that it was used for, whatever has become of the pipeline and of earlier results since.
        let claim = (request.fingerprint.as_str(), idempotency_key);
        if let Some(run) = self.claimed_id(RUNS, organization, claim).await?
            && let Some(run) = self.run_if_any(&RunKey::new(organization.clone(), run)).await?
        {
            return Ok(run);
        }
        let pipeline = self.pipeline(organization, &request.pipeline).await?;
        let input = Value::Object(self.resolved_input(organization, request).await?);
        let steps = u32::try_from(pipeline.document.steps.len()).unwrap_or(u32::MAX);
        let (input, wrong) = match pipeline.document.check_input(input.clone()) {
            Ok(input) => (input, None),
            Err(errors) if request.store_invalid => (input, Some(invalid(&pipeline.document, errors))),
            Err(errors) => return Err(Error::InvalidInput(Box::new(invalid(&pipeline.document, errors)))),
        };
        // Behind the checks: what is refused leaves the key for the request that is put right.
        let new = RunId::new(self.clock.now_ms());
        let run = self.claim_id(RUNS, organization, new, claim).await?;
        let key = RunKey::new(organization.clone(), run);
        if let Some(run) = self.run_if_any(&key).await? {
            return Ok(run);
        }
        let mut row = RunRow::new(&key, pinned(&pipeline), Progress::new(steps), self.clock.now_ms());
        self.describe(&mut row, &request.notify, &request.metadata)?;
        let message = match &wrong {
            None => "the run was accepted".to_owned(),
            Some(wrong) => {
                let message = format!("the input does not match the pipeline: {}", wrong.describe());
                row.progress.status = RunStatus::Failed;
                let (reason, step) = (RunReason::ValidationError, None);
                row.progress.end = Some(RunEnd { reason, step, message: message.clone() });
                message
            }
        };
        self.store_run(&key, NewRun { row, input, steps: Vec::new(), message }).await
    }

    /// What the caller says of a run.
    pub(super) fn describe(&self, row: &mut RunRow, notify: &Notify, metadata: &Map<String, Value>) -> Result<(), Error> {
        row.notify.clone_from(notify);
        row.metadata = serde_json::to_string(metadata).map_err(|error| Error::Internal(error.to_string()))?;
        row.created_by.clone_from(&self.caller);
        Ok(())
    }

    /// Stores a run with its place, and begins it if it has one.
    pub(super) async fn store_run(&self, key: &RunKey, mut new: NewRun) -> Result<RunView, Error> {
        self.check_maintenance(&key.organization).await?;
        let has_failed = new.row.progress.status.is_terminal();
        let mut progress = new.row.progress.clone();
        (progress.revision, progress.message) = (FIRST_REVISION, new.message.clone());
        new.row.set(progress, self.clock.now_ms());
        let entry = |entry_type, message| Entry { entry_type, step: None, phase: None, generation: None, number: None, message };
        let mut entries = vec![entry(EntryType::Created, "the run was accepted".to_owned())];
        if has_failed {
            entries = vec![entry(EntryType::Failed, new.message)];
        }
        let entries = EntryRow { at: rfc3339(self.clock.now_ms()), revision: FIRST_REVISION, entries };
        let mut waits = retry::overtaken().build();
        let mut input = Some(new.input.to_string());
        let notification = self.end_of_run(key, &new.row);
        let has_place = loop {
            let places = if has_failed { None } else { Some(self.records.places(&key.organization).await?) };
            let entered = match &places {
                Some(places) if places.waiting.len() >= RUNS_WAITING_MAX => return Err(Error::TooManyRuns(RUNS_WAITING_MAX)),
                Some(places) => {
                    let mut entered = places.clone();
                    entered.enter(&key.run, self.runs_at_work(&key.organization).await?);
                    entered.revision += 1;
                    Some((places.revision, entered))
                }
                None => None,
            };
            // Behind the check of the places: what is refused leaves nothing.
            if let Some(large) = input.take_if(|input| input.len() > REQUEST_INLINE_BYTES_MAX) {
                let sha256 = sha256_hex(&large);
                self.blobs.put(&Blobs::run_input_key(key, &sha256), "application/json", large.into_bytes()).await?;
                new.row.input_sha256 = Some(sha256);
            }
            let created = CreatedRun {
                run: &new.row,
                input: input.as_deref(),
                steps: &new.steps,
                entries: &entries,
                places: entered.as_ref().map(|(revision, places)| (*revision, places)),
                notification: notification.as_ref(),
            };
            if self.records.create_run(key, created).await? {
                break entered.is_some_and(|(_, places)| places.has(&key.run));
            }
            if self.records.run(key).await?.is_some() {
                break self.records.places(&key.organization).await?.has(&key.run);
            }
            match waits.next() {
                Some(wait) => sleep(wait).await,
                None => return Err(Error::RunContended(key.run.to_string())),
            }
        };
        tracing::info!(run = %key.run, organization = %key.organization, pipeline = %new.row.pipeline.name, "A run was accepted.");
        report_end(&new.row);
        if has_place {
            Box::pin(self.take_on(key, &[], Act::Begin)).await?;
        }
        self.run(key).await
    }

    /// The input of the body, and what it takes from earlier results.
    async fn resolved_input(&self, organization: &Organization, request: &RunRequest) -> Result<Map<String, Value>, Error> {
        let (mut input, mut errors) = (request.input.clone(), Vec::new());
        for (name, from) in &request.input_from {
            match self.earlier(organization, from).await? {
                Ok(value) => drop(input.insert(name.clone(), value)),
                Err(detail) => errors.push(FieldError::new(format!("/input_from/{name}"), detail)),
            }
        }
        if !errors.is_empty() {
            return Err(Error::InvalidRequest(errors));
        }
        let bytes = json_bytes(&input);
        if bytes > RUN_INPUT_BYTES_MAX as u64 {
            let place = if request.input_from.is_empty() { "/input" } else { "/input_from" };
            let detail = format!("has {bytes} bytes with all of the input; at most {RUN_INPUT_BYTES_MAX} are taken");
            return Err(Error::invalid(place, detail));
        }
        Ok(input)
    }

    /// An earlier result, or why there is none.
    async fn earlier(&self, organization: &Organization, from: &InputFrom) -> Result<Result<Value, String>, Error> {
        match from {
            InputFrom::Run(run, path) => {
                let key = RunKey::new(organization.clone(), run.clone());
                let Some((row, steps)) = self.records.run_and_steps(&key).await? else {
                    return Ok(Err(format!("there is no run {run}")));
                };
                let pipeline = self.pipeline_of(&key, &row).await?;
                let found = Box::pin(self.value_of_run(&key, (&row, &steps, &pipeline.document), path)).await?;
                Ok(found.ok_or_else(|| format!("run {run} has nothing at {path:?}")))
            }
            InputFrom::Version(subject, number) => {
                let key = SubjectKey::new(organization.clone(), subject.clone());
                let current = self.records.subject(&key).await?.map_or(0, |subject| subject.current);
                let number = number.unwrap_or(current);
                let Some(version) = self.records.version(&key, number).await? else {
                    return Ok(Err(format!("subject {subject} has no such version")));
                };
                if version.bytes > OUTPUT_INLINE_BYTES_MAX {
                    return Ok(Err(format!(
                        "version {number} has {} bytes; at most {OUTPUT_INLINE_BYTES_MAX} fit",
                        version.bytes
                    )));
                }
                let text = self.blobs.text(&key, &version.sha256, version.bytes).await?;
                let Some(text) = text else { return Ok(Err(format!("the text of version {number} is gone"))) };
                Ok(Ok(serde_json::from_str(&text).unwrap_or(Value::String(text))))
            }
        }
    }
}

/// What a run has pinned.
pub(super) fn pinned(pipeline: &Pipeline) -> PinnedPipeline {
    PinnedPipeline { name: pipeline.document.name.to_string(), version: pipeline.version, sha256: pipeline.sha256.clone() }
}

pub(super) fn invalid(document: &Document, InputErrors { errors, more }: InputErrors) -> InvalidInput {
    InvalidInput { errors, more, expected: document.input.clone() }
}
