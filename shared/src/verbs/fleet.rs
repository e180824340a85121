//! The work of a fleet: jobs of `stream` that come as messages of a queue, many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::{NextItem, NextRider, Streamed};
use crate::app::App;
use crate::aws::{QueueMessage, Queues, RECEIVE_MAX};
use crate::error::Error;
use crate::fleet::{Done, Fate, Visibility, fate};
use crate::generation::job::Job;
use crate::retry::{BackoffBuilder, Exponential, exponential};

/// How long a receive waits for messages. An orderly stop waits for the receive, because SQS may be giving it messages meanwhile.
const WAIT: Duration = Duration::from_secs(5);
/// Pauses after a failed receive.
const RECEIVE_PAUSES: Exponential = exponential(Duration::from_millis(500), Duration::from_secs(20), usize::MAX);

/// What a worker has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Worked {
    /// Jobs whose messages are deleted.
    pub done: u64,
    /// Jobs whose messages come back.
    pub returned: u64,
}

/// Takes jobs from a queue.
#[derive(Debug, Clone)]
pub struct Worker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queues: Queues,
    url: String,
    at_once: usize,
    done: AtomicU64,
    returned: AtomicU64,
}

impl Worker {
    /// One that takes up to `at_once` jobs at once from the queue at `url`.
    #[must_use]
    pub fn new(queues: Queues, url: String, at_once: u16) -> Self {
        let at_once = usize::from(at_once.max(1));
        Self(Arc::new(Inner { queues, url, at_once, done: AtomicU64::new(0), returned: AtomicU64::new(0) }))
    }

    /// Works until the app's process is about to end ([`Parts::stopping`](crate::app::Parts)): then it takes no further job, its writers hand
    /// over, which spends none of their attempts, and it returns when all have. A failure of the queue ends nothing: the worker tries again.
    pub async fn work(&self, app: &App) -> Worked {
        let places = Arc::new(Semaphore::new(self.0.at_once));
        let (mut jobs, mut pauses) = (JoinSet::new(), RECEIVE_PAUSES.build());
        while let Some(free) = app.stopping.run_until_cancelled(free_places(&places)).await {
            while let Some(job) = jobs.try_join_next() {
                report_panic(job);
            }
            match self.receive(app, free.len()).await {
                Ok(messages) => {
                    pauses = RECEIVE_PAUSES.build();
                    for (message, place) in messages.into_iter().zip(free) {
                        let (worker, app) = (self.clone(), app.clone());
                        jobs.spawn(async move { worker.take(&app, message, place).await });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "The queue of jobs was not read; the worker tries again.");
                    app.stopping.run_until_cancelled(sleep(pauses.next().unwrap_or(WAIT))).await;
                }
            }
        }
        while let Some(job) = jobs.join_next().await {
            report_panic(job);
        }
        Worked { done: self.0.done.load(Ordering::Relaxed), returned: self.0.returned.load(Ordering::Relaxed) }
    }

    async fn receive(&self, app: &App, count: usize) -> Result<Vec<QueueMessage>, Error> {
        let hidden = Visibility::of_lease(app.config.lease).hidden;
        // Boxed: the future of a receive is large.
        Box::pin(self.0.queues.wait_for(&self.0.url, count, hidden, WAIT)).await
    }

    /// Does a message's job, and keeps the message from other workers meanwhile.
    async fn take(&self, app: &App, message: QueueMessage, _place: OwnedSemaphorePermit) {
        let Inner { queues, url, .. } = &*self.0;
        if app.stopping.is_cancelled() {
            // It was received while the process began to end.
            self.settle(&message, Fate::Returned(Duration::ZERO)).await;
            return;
        }
        let Visibility { hidden, renew_every } = Visibility::of_lease(app.config.lease);
        let mut renewals = interval_at(Instant::now() + renew_every, renew_every);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = Box::pin(app.stream_message(&message.body));
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = renewals.tick() => {
                    // The work goes on whatever comes of it: at worst another worker finds the generation busy.
                    if let Err(error) = Box::pin(queues.hide(url, &message, hidden)).await {
                        tracing::warn!(message = message.id, %error, "A message was not hidden any longer; its job goes on.");
                    }
                }
            }
        };
        self.settle(&message, fate(done, message.receives, app.config.lease)).await;
    }

    async fn settle(&self, message: &QueueMessage, fate: Fate) {
        let Inner { queues, url, done, returned, .. } = &*self.0;
        let (settled, counter) = match fate {
            Fate::Deleted => (Box::pin(queues.delete(url, message)).await, done),
            Fate::Returned(pause) => (Box::pin(queues.hide(url, message, pause)).await, returned),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = settled {
            // It comes back by itself, and a job that is over is found to be.
            tracing::warn!(message = message.id, ?fate, %error, "A message was not settled; it comes back.");
        }
    }
}

impl App {
    /// Does the job that a message holds.
    async fn stream_message(&self, body: &str) -> Done {
        let job = serde_json::from_str(body).and_then(Job::from_json);
        match job {
            Err(error) => {
                tracing::error!(%error, "A message is no job; after some tries the queue moves it to its queue of failures.");
                Done::Unreadable
            }
            Ok(Job::One(job)) => {
                let streamed = self.stream(&job, None).await;
                if let Err(error) = &streamed {
                    tracing::error!(generation = %job.generation, %error, "A job failed; its message comes back.");
                }
                done_of(&streamed)
            }
            Ok(Job::Ride(job)) => {
                let next: Arc<dyn NextRider> = Arc::new(NextItem::new(self.clone()));
                let rode = self.ride(&job, None, &next).await;
                rode.iter().map(|rode| done_of(&rode.streamed)).fold(Done::Over, Done::and)
            }
        }
    }
}

fn done_of(streamed: &Result<Streamed, Error>) -> Done {
    match streamed {
        Ok(Streamed::Busy) => Done::Busy,
        // Fenced: the writer that took the slot has a job of its own.
        Ok(_) => Done::Over,
        Err(_) => Done::Failed,
    }
}

/// Waits for a free place, and takes those that are free then, up to what one receive can fill.
async fn free_places(places: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let mut free: Vec<OwnedSemaphorePermit> = Arc::clone(places).acquire_owned().await.into_iter().collect();
    while free.len() < RECEIVE_MAX
        && let Ok(place) = Arc::clone(places).try_acquire_owned()
    {
        free.push(place);
    }
    free
}

/// The message of a job that panicked comes back when it is hidden no longer.
fn report_panic(job: Result<(), tokio::task::JoinError>) {
    if let Err(error) = job {
        tracing::error!(%error, "A job panicked; its message comes back.");
    }
}
