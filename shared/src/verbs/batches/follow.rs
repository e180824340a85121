//! How the end of an item's generation reaches its batch: its log's end from the invocation that wrote it, which takes the next item; its
//! outcome from `settle`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;

use super::advance::Told;
use crate::app::App;
use crate::aws::RecordRow;
use crate::batches::News;
use crate::error::Error;
use crate::generation::Status;
use crate::ids::{BatchKey, GenerationId, GenerationKey};
use crate::log::reason;
use crate::providers::Fault;
use crate::verbs::stream::ride::{Created, NextRider, Rider};

/// Reasons after which the same request would come to the same end.
const FINAL_REASONS: [&str; 4] =
    [reason::PROVIDER_NOT_CONFIGURED, reason::OUTPUT_LIMIT, reason::SPEND_LIMIT, reason::LOG_DAMAGED];

/// Gives the place of an item whose log has ended to the next item of its batch. Clones share one step: what ends side by side is counted
/// together.
#[derive(Clone)]
pub struct NextItem {
    app: App,
    turn: Arc<tokio::sync::Mutex<()>>,
    ends: Arc<Mutex<Ends>>,
}

/// Ends that no step has counted yet, and what was started in the places of those that were.
#[derive(Default)]
struct Ends {
    waiting: Vec<(BatchKey, Told)>,
    started: HashMap<GenerationId, Created>,
    /// The item of each generation that was started here: its record need not be read for it.
    parents: HashMap<GenerationId, (BatchKey, u32)>,
}

impl NextItem {
    /// Over this app.
    #[must_use]
    pub fn new(app: App) -> Self {
        Self { app, turn: Arc::default(), ends: Arc::default() }
    }

    async fn claim(&self, ended: &GenerationKey) -> Result<Option<Created>, Error> {
        let known = self.ends().parents.remove(&ended.generation);
        let parent = match known {
            Some(parent) => Some(parent),
            None => self.app.records.find(ended).await?.and_then(|record| record.item()),
        };
        let Some((batch, index)) = parent else { return Ok(None) };
        self.ends().waiting.push((batch, Told::of_log(index, &ended.generation)));
        let _turn = self.turn.lock().await;
        // Empty, if the one before has counted this end too.
        let waiting = std::mem::take(&mut self.ends().waiting);
        let mut by_batch: HashMap<BatchKey, Vec<Told>> = HashMap::new();
        for (batch, told) in waiting {
            by_batch.entry(batch).or_default().push(told);
        }
        for (batch, told) in by_batch {
            let mut started = self.app.advance(&batch, &told).await?.started.into_iter();
            let ended: Vec<GenerationId> = told.into_iter().map(|told| told.generation).collect();
            self.ends().started.extend(ended.into_iter().zip(started.by_ref()));
            // More places are free where the window has grown.
            self.app.ride_on(&batch.organization, started.collect()).await;
        }
        let mut ends = self.ends();
        let created = ends.started.remove(&ended.generation);
        if let Some(Created { record, .. }) = &created
            && let Some(parent) = record.item()
        {
            ends.parents.insert(record.generation.clone(), parent);
        }
        Ok(created)
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NextRider for NextItem {
    fn next<'a>(&'a self, ended: &'a GenerationKey, _: Option<Duration>) -> BoxFuture<'a, Option<Rider>> {
        Box::pin(async move {
            match self.claim(ended).await {
                Ok(created) => created.map(|created| Rider::Created(Box::new(created))),
                Err(error) => {
                    tracing::warn!(generation = %ended.generation, %error, "The next item was not taken; settle takes it.");
                    None
                }
            }
        })
    }
}

impl App {
    /// Counts ended generations in the batch that they are tries of items of, and starts what has a place then. What was counted before
    /// changes nothing.
    ///
    /// # Errors
    /// [`Error::Aws`]; [`Error::BatchContended`]. The same call may be made again.
    pub async fn settle_items(&self, batch: &BatchKey, records: &[RecordRow]) -> Result<(), Error> {
        let told = records.iter().filter_map(|record| told(record, record.item()?.1));
        let advanced = self.advance(batch, &told.collect::<Vec<_>>()).await?;
        self.ride_on(&batch.organization, advanced.started).await;
        if advanced.has_too_many_failed {
            self.cancel_items(batch).await?;
        }
        Ok(())
    }
}

/// What a record tells its batch; `None`: it has no outcome yet.
pub(super) fn told(record: &RecordRow, index: u32) -> Option<Told> {
    let outcome = record.outcome.as_ref()?;
    let reason = outcome.reason.as_deref().unwrap_or_default();
    let is_retryable = record.status == Status::Failed && may_pass(reason);
    Some(Told {
        index,
        generation: record.generation.clone(),
        news: News::Ended { status: record.status, is_retryable },
        usage: outcome.usage.map(|usage| usage.total).unwrap_or_default(),
        cost: outcome.cost.unwrap_or(0),
        error: outcome.error.clone(),
    })
}

/// Whether the same request may complete later, after it has failed for this reason.
fn may_pass(reason: &str) -> bool {
    !FINAL_REASONS.contains(&reason) && Fault::ALL.iter().all(|fault| fault.code() != reason || fault.is_retryable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_pass_are_tried_again() {
        for passes in
            ["rate_limited", "interrupted", "timeout", "attempts_exhausted", "validation_error", "schema_violation", "deadline"]
        {
            assert!(may_pass(passes), "{passes}");
        }
        for stays in ["provider_rejected", "provider_not_a_stream", "provider_not_configured", "output_limit", "spend_limit"] {
            assert!(!may_pass(stays), "{stays}");
        }
    }
}
