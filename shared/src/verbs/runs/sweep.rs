//! `sweep` of runs: their time limits, steps that wait for their next try, and what neither `settle` nor a start has taken on.

use std::collections::HashSet;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};

use crate::app::App;
use crate::clock::{millis, millis_of};
use crate::error::Error;
use crate::generation::Failure;
use crate::ids::{GenerationKey, Organization, RunKey};
use crate::runs::places::Places;
use crate::runs::plan::{Act, PURGED};
use crate::runs::{News, RunStatus, StepStatus, Steps};
use crate::verbs::batches::sweep::SweptJobs;
use crate::verbs::runs::advance::told;

/// Runs that are looked at side by side.
const CONCURRENCY: usize = 8;
/// A run that is not ended so long after its time is counted.
const OVER_TIME: Duration = Duration::from_mins(2);

impl App {
    /// Takes every open run on. No check begins once `is_time` says no; an error of one does not affect the others.
    pub(in crate::verbs) async fn sweep_runs(
        &self,
        open: Vec<RunKey>,
        idle: Duration,
        is_time: impl Fn() -> bool + Sync,
    ) -> SweptJobs {
        let mut swept = SweptJobs { open: open.len() as u64, ..SweptJobs::default() };
        let organizations: HashSet<Organization> = open.iter().map(|key| key.organization.clone()).collect();
        let mut with_place = HashSet::new();
        for organization in organizations {
            match self.fill_places(&organization).await {
                Ok(places) => with_place.extend(places.running),
                Err(error) => {
                    tracing::error!(%organization, %error, "The places of an organization's runs could not be swept.");
                    swept.errors += 1;
                }
            }
        }
        let with_place = &with_place;
        let checks = open.into_iter().take_while(|_| is_time()).map(|key| {
            async move {
                let checked = self.sweep_run(&key, with_place.contains(&key.run), idle).await;
                checked.inspect_err(|error| tracing::error!(run = %key.run, %error, "A run could not be swept."))
            }
            .boxed()
        });
        let mut checks = stream::iter(checks).buffer_unordered(CONCURRENCY);
        while let Some(checked) = checks.next().await {
            swept.errors += u64::from(checked.is_err());
            swept.over_time += u64::from(checked.is_ok_and(|is_over_time| is_over_time));
        }
        swept
    }

    /// Gives free places to runs that wait: more may be at work than before. Returns the places then.
    async fn fill_places(&self, organization: &Organization) -> Result<Places, Error> {
        let places = self.records.places(organization).await?;
        let mut filled = places.clone();
        filled.fill(self.runs_at_work(organization).await?);
        if filled == places {
            return Ok(places);
        }
        filled.revision += 1;
        // One that others overtake is filled by them, or by the next sweep.
        let is_filled = self.records.replace_places(organization, places.revision, &filled).await?;
        Ok(if is_filled { filled } else { places })
    }

    /// Returns whether the run has been past its time for longer than a sweep or two take to end it.
    async fn sweep_run(&self, key: &RunKey, has_place: bool, idle: Duration) -> Result<bool, Error> {
        let Some((row, steps)) = self.records.run_and_steps(key).await? else { return Ok(false) };
        let now_ms = self.clock.now_ms();
        if row.progress.status == RunStatus::Pending {
            if has_place {
                Box::pin(self.take_on(key, &[], Act::Begin)).await?;
            }
            return Ok(false);
        }
        let is_past = |by: Duration| row.progress.deadline_ms.is_some_and(|deadline| now_ms >= deadline + millis(by));
        let is_over = is_past(Duration::ZERO);
        let is_due = steps.values().any(|state| state.ready_at_ms.is_some_and(|at| at <= now_ms));
        let unchanged = now_ms - millis_of(&row.updated_at).unwrap_or_default();
        if !is_over && !is_due && unchanged < millis(idle) {
            return Ok(false);
        }
        let news = self.ended_steps(key, &steps, unchanged >= millis(idle)).await?;
        Box::pin(self.take_on(key, &news, Act::GoOn)).await?;
        Ok(is_past(OVER_TIME))
    }

    /// The running steps whose generation has its outcome, or is gone: what is read may lag, so only a run that is `idle` is told of those.
    async fn ended_steps(&self, key: &RunKey, steps: &Steps, is_idle: bool) -> Result<Vec<News>, Error> {
        let of = |generation| GenerationKey::new(key.organization.clone(), generation);
        let running: Vec<(String, GenerationKey)> = steps
            .iter()
            .filter(|(_, state)| state.status == StepStatus::Running)
            .filter_map(|(id, state)| Some((id.clone(), of(state.generation.clone()?))))
            .collect();
        let keys: Vec<GenerationKey> = running.iter().map(|(_, key)| key.clone()).collect();
        let records = self.records.find_all(&keys).await?;
        let ended = running.into_iter().filter_map(|(step, key)| match records.iter().find(|record| record.key() == key) {
            Some(record) => told(record).map(|(_, news)| news),
            None if !is_idle => None,
            None => Some(News {
                step,
                generation: key.generation,
                usage: crate::generation::usage::Usage::default(),
                cost: 0,
                failure: Some(Failure { code: PURGED.into(), message: "its generation was deleted".into() }),
            }),
        });
        Ok(ended.collect())
    }
}
