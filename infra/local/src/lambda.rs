//! Lambda: runs the functions' handlers in this process, synchronously, or asynchronously with retries.

pub mod api;
mod failures;
mod queue;
pub mod queue_api;
mod run;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use longhand::retry::{Exponential, Retryable, exponential};
use longhand_functions::Function;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use failures::{Failures, timestamp};
pub use run::{Invocation, invocation_context};

use crate::{folder::Folder, template::HostedFunction};
use queue::{Event, Queue};

/// The longest retry pause, as a multiple of the first.
const RETRY_PAUSE_FACTOR_MAX: u32 = 16;

/// A function and its handler.
pub struct Hosted {
    /// Its definition in the template.
    pub definition: HostedFunction,
    /// Its handler.
    pub function: Function,
}

/// The functions of the stack. Clones share state.
#[derive(Clone)]
pub struct Lambda(Arc<Inner>);

struct Inner {
    functions: Vec<Arc<Hosted>>,
    failures: Failures,
    queue: Queue,
    retry_delay: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Cancelled first: from then on events are queued for the next stack.
    stopping: CancellationToken,
}

impl Lambda {
    /// Hosts `functions`. Queued events and on-failure records are stored in `folder`. `stopping`:
    /// that of the functions' apps.
    pub fn new(functions: Vec<Hosted>, folder: &Folder, retry_delay: Duration, stopping: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            functions: functions.into_iter().map(Arc::new).collect(),
            failures: Failures::new(folder.failures()),
            queue: Queue::new(folder.events()),
            retry_delay,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            stopping,
        }))
    }

    /// Every function.
    pub fn functions(&self) -> &[Arc<Hosted>] {
        &self.0.functions
    }

    /// The function with this logical id, physical name, `Handler` or ARN.
    pub fn find(&self, name: &str) -> Option<&Arc<Hosted>> {
        let name = name.rsplit_once("function:").map_or(name, |(_, name)| name);
        let name = name.split(':').next().unwrap_or(name);
        let named = |hosted: &HostedFunction| [&hosted.id, &hosted.name, &hosted.handler].into_iter().any(|own| own == name);
        self.0.functions.iter().find(|hosted| named(&hosted.definition))
    }

    /// Runs a function once and returns its result. A failure is logged.
    pub async fn invoke(&self, hosted: &Arc<Hosted>, payload: Value) -> Invocation {
        run::run_and_log(hosted, payload, request_id()).await
    }

    /// Runs a function once and returns its result, without logging a failure.
    pub async fn invoke_silently(&self, hosted: &Arc<Hosted>, payload: Value) -> Invocation {
        run::run(hosted, payload, request_id()).await
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
        self.0.tasks.close();
        let _ = tokio::time::timeout(grace, self.0.tasks.wait()).await;
        self.0.stop.cancel();
        self.0.tasks.wait().await;
    }

    /// Runs `work` in a task. The result is `None` if the functions are stopped before `work` ends.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.tasks.spawn(self.0.stop.clone().run_until_cancelled_owned(work))
    }

    /// Stops all functions when dropped.
    pub fn stop_on_drop(&self) -> DropGuard {
        self.0.stop.clone().drop_guard()
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
