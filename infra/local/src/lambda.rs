//! Lambda: runs the functions' handlers in this process, at once or asynchronously with retries.

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

/// Retries double their pause this many times at most.
const DOUBLINGS_MAX: u32 = 4;

/// A function and its handler.
pub struct Hosted {
    /// What the template says of it.
    pub definition: HostedFunction,
    /// Its handler.
    pub function: Function,
}

/// The functions of the stack. Clones are the same.
#[derive(Clone)]
pub struct Lambda(Arc<Inner>);

struct Inner {
    functions: Vec<Arc<Hosted>>,
    failures: Failures,
    queue: Queue,
    retry_delay: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Lambda {
    /// Hosts `functions`; events and failures are kept in `folder`.
    pub fn new(functions: Vec<Hosted>, folder: &Folder, retry_delay: Duration) -> Self {
        Self(Arc::new(Inner {
            functions: functions.into_iter().map(Arc::new).collect(),
            failures: Failures::new(folder.failures()),
            queue: Queue::new(folder.events()),
            retry_delay,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// Every function.
    pub fn functions(&self) -> &[Arc<Hosted>] {
        &self.0.functions
    }

    /// The function of that logical id, physical name, `Handler` or ARN.
    pub fn find(&self, name: &str) -> Option<&Arc<Hosted>> {
        let name = name.rsplit_once("function:").map_or(name, |(_, name)| name);
        let name = name.split(':').next().unwrap_or(name);
        let named = |hosted: &HostedFunction| [&hosted.id, &hosted.name, &hosted.handler].into_iter().any(|own| own == name);
        self.0.functions.iter().find(|hosted| named(&hosted.definition))
    }

    /// Runs a function once and waits for its answer.
    pub async fn invoke(&self, hosted: &Arc<Hosted>, payload: Value) -> Invocation {
        run::run(hosted, payload, request_id()).await
    }

    /// The same for a caller to whom a failure may be an answer: it is not logged.
    pub async fn ask(&self, hosted: &Arc<Hosted>, payload: Value) -> Invocation {
        run::attempt(hosted, payload, request_id()).await
    }

    /// Accepts an event, which runs on its own from here, with the function's retries. Once this has returned the event
    /// outlives a crash: the next stack on the same data runs it again. Returns the request id.
    ///
    /// # Errors
    /// The event cannot be kept.
    pub fn send(&self, hosted: &Arc<Hosted>, payload: Value) -> Result<String> {
        let event =
            Event { request_id: request_id(), function: hosted.definition.id.clone(), payload, accepted_at: SystemTime::now() };
        self.0.queue.put(&event).context("an async invocation cannot be kept")?;
        let id = event.request_id.clone();
        self.deliver(hosted.clone(), event);
        Ok(id)
    }

    /// Takes up the events that an earlier stack accepted and did not finish.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn resume(&self) -> Result<()> {
        for event in self.0.queue.all()? {
            match self.find(&event.function) {
                Some(hosted) => self.deliver(hosted.clone(), event),
                None => self.0.queue.remove(&event),
            }
        }
        Ok(())
    }

    /// What was given up: async invocations and stream batches.
    pub fn failures(&self) -> &Failures {
        &self.0.failures
    }

    /// The pause before retry number `attempts` (from 1).
    pub fn pause(&self, attempts: u32) -> Duration {
        self.0.retry_delay * 2_u32.pow(attempts.saturating_sub(1).min(DOUBLINGS_MAX))
    }

    /// Gives running invocations `patience` to end, then stops them; their events stay for the next stack.
    pub async fn shutdown(&self, patience: Duration) {
        self.0.tasks.close();
        let _ = tokio::time::timeout(patience, self.0.tasks.wait()).await;
        self.0.stop.cancel();
        self.0.tasks.wait().await;
    }

    /// Runs `work` until it ends or the functions are stopped, whichever comes first (then it is `None`).
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
        let lambda = self.clone();
        self.spawn(async move {
            lambda.attempt_all(&hosted, &event).await;
            lambda.0.queue.remove(&event);
        });
    }

    async fn attempt_all(&self, hosted: &Arc<Hosted>, event: &Event) {
        let rules = hosted.definition.async_invoke;
        for attempts in 1.. {
            let Invocation { error, .. } = run::run(hosted, event.payload.clone(), event.request_id.clone()).await;
            let Some(error) = error else { return };
            let pause = self.pause(attempts);
            let age = event.accepted_at.elapsed().unwrap_or_default();
            let condition = if attempts > rules.retries {
                "RetriesExhausted"
            } else if age + pause > rules.age_max {
                "EventAgeExceeded"
            } else {
                tokio::time::sleep(pause).await;
                continue;
            };
            return self.0.failures.add(&failures::of_event(hosted, event, condition, attempts, &error));
        }
    }
}

/// A new request id, in the form of AWS's.
pub fn request_id() -> String {
    let hex = format!("{:032x}", ulid::Ulid::generate().0);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests;
