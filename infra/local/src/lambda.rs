//! Lambda: runs the functions' handlers in this process, synchronously, or asynchronously with retries.

pub mod api;
mod failures;
mod host;
pub mod jobs;
mod queue;
pub mod queue_api;
mod run;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use longhand::retry::{Exponential, Retryable, exponential};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use failures::{Failures, timestamp};
pub use host::{Host, Hosted};
pub use run::{Invocation, invocation_context, run};

use crate::folder::Folder;
use queue::{Event, Queue};

/// The longest retry pause, as a multiple of the first.
const RETRY_PAUSE_FACTOR_MAX: u32 = 16;

/// The functions of the stack. Clones share state.
#[derive(Clone)]
pub struct Lambda(Arc<Inner>);

struct Inner {
    host: Host,
    failures: Failures,
    queue: Queue,
    retry_delay: Duration,
    /// Cancelled first: from then on events are queued for the next stack.
    stopping: CancellationToken,
}

impl Lambda {
    /// Hosts `functions`. Queued events and on-failure records are stored in `folder`. `stopping`:
    /// that of the functions' apps.
    pub fn new(functions: Vec<Hosted>, folder: &Folder, retry_delay: Duration, stopping: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            host: Host::new(functions),
            failures: Failures::new(folder.failures()),
            queue: Queue::new(folder.events()),
            retry_delay,
            stopping,
        }))
    }

    /// The functions.
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    /// The function with this logical id, physical name, `Handler` or ARN.
    pub fn find(&self, name: &str) -> Option<&Arc<Hosted>> {
        self.0.host.find(name)
    }

    /// Every function.
    pub fn functions(&self) -> &[Arc<Hosted>] {
        self.0.host.functions()
    }

    /// Runs a function once and returns its result. A failure is logged.
    pub async fn invoke(&self, hosted: &Arc<Hosted>, payload: Value) -> Invocation {
        run::run_and_log(hosted, payload, request_id()).await
    }

    /// Queues an event, which then runs in the background with the function's retries. A queued event survives a crash: the
    /// next stack on the same data runs it again. Returns the request id.
    ///
    /// # Errors
    /// The event cannot be stored.
    pub fn send(&self, hosted: &Arc<Hosted>, payload: Value) -> Result<String> {
        let event =
            Event { request_id: request_id(), function: hosted.definition.id.clone(), payload, accepted_at: SystemTime::now() };
        self.0.queue.put(&event).context("an async invocation cannot be stored")?;
        let id = event.request_id.clone();
        self.deliver(hosted.clone(), event);
        Ok(id)
    }

    /// Runs the events that an earlier stack accepted and did not finish.
    ///
    /// # Errors
    /// The queued events cannot be read.
    pub fn resume(&self) -> Result<()> {
        for event in self.0.queue.all()? {
            match self.find(&event.function) {
                Some(hosted) => self.deliver(hosted.clone(), event),
                None => self.0.queue.remove(&event),
            }
        }
        Ok(())
    }

    /// The on-failure records of async invocations and stream batches.
    pub fn failures(&self) -> &Failures {
        &self.0.failures
    }

    /// The retry schedule of the stack, with at most `retries` retries.
    pub fn retry_schedule(&self, retries: usize) -> Exponential {
        exponential(self.0.retry_delay, self.0.retry_delay * RETRY_PAUSE_FACTOR_MAX, retries)
    }

    /// Has writers hand over, and queues every further event for the next stack.
    pub fn begin_stop(&self) {
        self.0.stopping.cancel();
    }

    /// Waits up to `grace` for running invocations, then stops them. Their events stay queued for the next stack.
    pub async fn shutdown(&self, grace: Duration) {
        self.0.host.shutdown(grace).await;
    }

    /// As [`Host::spawn`].
    pub fn spawn<F>(&self, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.host.spawn(work)
    }

    /// Stops all functions when dropped.
    pub fn stop_on_drop(&self) -> DropGuard {
        self.0.host.stop_on_drop()
    }

    fn deliver(&self, hosted: Arc<Hosted>, event: Event) {
        if self.0.stopping.is_cancelled() {
            return;
        }
        let lambda = self.clone();
        self.spawn(async move {
            lambda.run_with_retries(&hosted, &event).await;
            lambda.0.queue.remove(&event);
        });
    }

    async fn run_with_retries(&self, hosted: &Arc<Hosted>, event: &Event) {
        let rules = hosted.definition.async_invoke;
        let attempt = || async {
            let invocation = run::run_and_log(hosted, event.payload.clone(), event.request_id.clone()).await;
            invocation.error.map_or(Ok(()), Err)
        };
        let within_age = |_: &Value, pause: Option<Duration>| {
            let age = event.accepted_at.elapsed().unwrap_or_default();
            pause.filter(|pause| age + *pause <= rules.age_max)
        };
        let mut retries = 0;
        let schedule = self.retry_schedule(rules.retries as usize);
        if let Err(error) = attempt.retry(schedule).adjust(within_age).notify(|_, _| retries += 1).await {
            let condition = if retries < rules.retries { "EventAgeExceeded" } else { "RetriesExhausted" };
            self.0.failures.add(&failures::of_event(hosted, event, condition, retries + 1, &error));
        }
    }
}

/// A new request id in the form that AWS uses.
pub fn request_id() -> String {
    let hex = format!("{:032x}", ulid::Ulid::generate().0);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests;
