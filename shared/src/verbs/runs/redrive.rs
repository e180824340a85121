//! `redrive`: a new run that keeps what an earlier one completed.

use std::collections::BTreeSet;

use crate::app::App;
use crate::aws::{RunRow, StepRow};
use crate::error::Error;
use crate::ids::{RunId, RunKey};
use crate::pipelines::{Document, PipelineRef};
use crate::runs::body::Redrive;
use crate::runs::{Progress, StepState, StepStatus, Steps};
use crate::verbs::runs::start::{NewRun, RUNS, invalid, pinned};
use crate::verbs::runs::view::RunView;

impl App {
    /// Starts a new run with the input of one that has ended, which keeps the steps that completed or were skipped.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::RunNotEnded`]; [`Error::InvalidRequest`]: there is no such step, or the input was never valid; as
    /// [`App::start_run`].
    pub async fn redrive_run(
        &self,
        earlier: &RunKey,
        redrive: &Redrive,
        idempotency_key: Option<&str>,
    ) -> Result<RunView, Error> {
        let found = self.records.run_and_steps(earlier).await?;
        let (of, steps) = found.ok_or_else(|| Error::RunNotFound(earlier.run.to_string()))?;
        if !of.progress.status.is_terminal() {
            return Err(Error::RunNotEnded(earlier.run.to_string()));
        }
        let before = self.pipeline_of(earlier, &of).await?;
        let after = if redrive.latest {
            let newest = PipelineRef { name: before.document.name.clone(), version: None };
            self.pipeline(&earlier.organization, &newest).await?
        } else {
            before.clone()
        };
        if let Some(from) = redrive.from.as_ref().filter(|from| after.document.step(from).is_none()) {
            return Err(Error::invalid("/from", format!("must be the id of a step; there is no step {from:?}")));
        }
        let input = self.input_of_run(earlier, &of).await?;
        let input = after.document.check_input(input);
        let input = input.map_err(|errors| Error::InvalidInput(Box::new(invalid(&after.document, errors))))?;
        let fingerprint = format!("{earlier} {redrive:?}");
        let new = RunId::new(self.clock.now_ms());
        let run = self.claim_id(RUNS, &earlier.organization, new, (&fingerprint, idempotency_key)).await?;
        let key = RunKey::new(earlier.organization.clone(), run);
        if let Some(run) = self.run_if_any(&key).await? {
            return Ok(run);
        }
        let kept = kept((&before.document, &after.document), &steps, redrive.from.as_deref());
        let total = u32::try_from(after.document.steps.len()).unwrap_or(u32::MAX);
        let mut progress = Progress::new(total);
        (progress.completed_steps, progress.step_changes) = (u32::try_from(kept.len()).unwrap_or(u32::MAX), kept.len() as u64);
        let mut row = RunRow::new(&key, pinned(&after), progress, self.clock.now_ms());
        (row.notify, row.metadata, row.created_by) = (of.notify, of.metadata, self.caller.clone());
        row.redrive_of = Some(earlier.run.clone());
        let message = format!("the run was accepted; it keeps {} steps of {}", kept.len(), earlier.run);
        self.store_run(&key, NewRun { row, input, steps: kept, message }).await
    }
}

/// The steps that a run of `after` may keep of one of `before`.
fn kept((before, after): (&Document, &Document), steps: &Steps, from: Option<&str>) -> Vec<StepRow> {
    let mut anew: BTreeSet<&str> = from.into_iter().collect();
    let mut kept = Vec::new();
    // Needs stand before those that need them.
    for step in in_order(after) {
        let is_same = before.step(&step.id).is_some_and(|earlier| earlier.fingerprint() == step.fingerprint());
        let is_behind = step.needs.iter().any(|needed| anew.contains(needed.as_str()));
        let state = steps.get(&step.id).filter(|state| matches!(state.status, StepStatus::Completed | StepStatus::Skipped));
        match state {
            Some(state) if is_same && !is_behind && !anew.contains(step.id.as_str()) => {
                let state = StepState {
                    status: state.status,
                    generation: state.generation.clone(),
                    ended_ms: state.ended_ms,
                    started_ms: state.started_ms,
                    is_inherited: true,
                    changes: 1,
                    ..StepState::default()
                };
                kept.push(StepRow { id: step.id.clone(), state });
            }
            _ => drop(anew.insert(&step.id)),
        }
    }
    kept
}

/// The steps, each behind those that it needs.
fn in_order(document: &Document) -> Vec<&crate::pipelines::Step> {
    let (mut ordered, mut known): (Vec<&crate::pipelines::Step>, BTreeSet<&str>) = (Vec::new(), BTreeSet::new());
    while ordered.len() < document.steps.len() {
        let next = document
            .steps
            .iter()
            .find(|step| !known.contains(step.id.as_str()) && step.needs.iter().all(|needed| known.contains(needed.as_str())));
        // A published document has no circle.
        let Some(next) = next else { break };
        known.insert(&next.id);
        ordered.push(next);
    }
    ordered
}
