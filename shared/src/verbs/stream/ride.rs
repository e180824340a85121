//! Rides: several generations of one organization, written side by side in one invocation.
//!
//! Each rider is a writer of its own, with its own lease, attempts, faults and end, in a task of its own. They share the process, its
//! deadline, and the bound on text that waits ([`Waiting`](crate::log::waiting::Waiting)).

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use super::Streamed;
use crate::app::App;
use crate::aws::RecordRow;
use crate::error::Error;
use crate::generation::job::{RideJob, StreamJob};
use crate::generation::request::Request;
use crate::ids::{GenerationId, GenerationKey};
use crate::limits;

/// A generation that this process has created: what it would read to stream it.
#[derive(Debug)]
pub struct Created {
    /// Its record, as it was stored.
    pub record: RecordRow,
    /// Its request.
    pub request: Request,
}

/// Who takes a place.
#[derive(Debug)]
pub enum Rider {
    /// A generation that is stored.
    Stored(StreamJob),
    /// One that this process has just created.
    Created(Box<Created>),
}

/// Gives the place of a rider that has ended to another generation of its organization.
pub trait NextRider: Send + Sync {
    /// Claims the next generation, for an invocation that has `left` of its time; `None`: there is none. Called once for each rider
    /// that has ended, and for several side by side. A generation that is claimed is streamed, or else found by the sweep.
    fn next<'a>(&'a self, ended: &'a GenerationKey, left: Option<Duration>) -> BoxFuture<'a, Option<Rider>>;
}

/// No further generation.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNext;

impl NextRider for NoNext {
    fn next<'a>(&'a self, _: &'a GenerationKey, _: Option<Duration>) -> BoxFuture<'a, Option<Rider>> {
        Box::pin(std::future::ready(None))
    }
}

/// What became of one rider.
#[derive(Debug)]
pub struct Rode {
    /// Which generation.
    pub generation: GenerationId,
    /// As [`App::stream`] returns it.
    pub streamed: Result<Streamed, Error>,
}

/// Whether the place of a rider that came to `streamed` is given to another generation: its log has ended, there is time for one, and the
/// process is not about to end. What another writer has, or what failed here, still has its place.
#[must_use]
pub fn takes_another(streamed: &Result<Streamed, Error>, left: Option<Duration>, is_stopping: bool) -> bool {
    let has_ended = matches!(streamed, Ok(Streamed::Ended(_) | Streamed::HadEnded | Streamed::Gone));
    has_ended && !is_stopping && left.is_none_or(|left| left >= limits::RIDE_TIME_MIN)
}

/// What a rider's task comes to: its generation, and who takes its place.
type Done = (GenerationKey, Result<Streamed, Error>, Option<Rider>);

impl App {
    /// Streams the generations of a job side by side, and those that `next` gives in their places. Riders that are handed over ride
    /// together in the next invocation. Returns what became of each, in the order in which they were done: whatever one of them comes to,
    /// the others go on.
    pub async fn ride(&self, job: &RideJob, stop_at: Option<Instant>, next: &Arc<dyn NextRider>) -> Vec<Rode> {
        let (mut riders, mut handed_over, mut rode) = (JoinSet::new(), Vec::new(), Vec::new());
        for job in job.jobs() {
            self.board(&mut riders, Rider::Stored(job), (stop_at, true), next);
        }
        while let Some(done) = riders.join_next().await {
            // A task that panicked has no key. Its log has no writer any more, so that the sweep finds it.
            let Ok((key, streamed, next_rider)) = done else {
                tracing::error!("A rider's task failed; the sweep finds its generation.");
                continue;
            };
            if let Err(error) = &streamed {
                tracing::error!(generation = %key.generation, %error, "A rider stopped; the others go on.");
            }
            if matches!(streamed, Ok(Streamed::HandedOver)) {
                handed_over.push(key.generation.clone());
            }
            if let Some(rider) = next_rider {
                self.board(&mut riders, rider, (stop_at, false), next);
            }
            rode.push(Rode { generation: key.generation, streamed });
        }
        if !handed_over.is_empty() {
            self.hand_ride_over(job, handed_over).await;
        }
        rode
    }

    /// Streams one in a task of its own, which claims the next one too: riders that end side by side do not wait for each other's claims.
    /// `is_first`: it has the invocation's whole time.
    fn board(
        &self,
        riders: &mut JoinSet<Done>,
        rider: Rider,
        (stop_at, is_first): (Option<Instant>, bool),
        next: &Arc<dyn NextRider>,
    ) {
        let (app, next) = (self.clone(), Arc::clone(next));
        let rides = async move {
            let (key, streamed) = match rider {
                Rider::Stored(job) => (job.key(), app.stream_in_span(&job, stop_at, is_first).await),
                Rider::Created(created) => (created.record.key(), app.stream_created(*created, stop_at).await),
            };
            let left = stop_at.map(|stop_at| stop_at.saturating_duration_since(Instant::now()));
            let takes_another = takes_another(&streamed, left, app.stopping.is_cancelled());
            let next = if takes_another { next.next(&key, left).await } else { None };
            (key, streamed, next)
        };
        riders.spawn(rides.in_current_span());
    }

    async fn hand_ride_over(&self, job: &RideJob, generations: Vec<GenerationId>) {
        let invoked = match RideJob::new(job.organization().clone(), generations) {
            Ok(next) => self.invoker.ride(&next).await,
            Err(message) => Err(Error::Internal(message)),
        };
        if let Err(error) = invoked {
            tracing::warn!(%error, "The next function was not invoked; the sweep will invoke it.");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::generation::Status;

    proptest! {
        #[test]
        fn places_are_given_while_there_is_time(seconds in prop::option::of(0_u64..900), is_stopping: bool, case in 0_u8..6) {
            let streamed = match case {
                0 => Ok(Streamed::Ended(Status::Failed)),
                1 => Ok(Streamed::HadEnded),
                2 => Ok(Streamed::Busy),
                3 => Err(Error::Internal(String::new())),
                4 => Ok(Streamed::Fenced),
                _ => Ok(Streamed::HandedOver),
            };
            let takes = takes_another(&streamed, seconds.map(Duration::from_secs), is_stopping);
            prop_assert_eq!(takes, case < 2 && !is_stopping && seconds.is_none_or(|seconds| seconds >= 300));
        }
    }
}
