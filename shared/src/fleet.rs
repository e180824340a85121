//! A fleet: processes that take the jobs of `stream` from a queue. What becomes of a message, and how long it is hidden from other workers.

use std::time::Duration;

/// Jobs that a worker does at once, unless `--at-once` says otherwise.
pub const AT_ONCE: u16 = 50;
/// The most that it may do.
pub const AT_ONCE_MAX: u16 = 1_000;
/// The longest pause before a job that failed is tried again.
const RETRY_MAX: Duration = Duration::from_mins(1);
/// A message that has been received more often than this, and whose generation has a writer, is deleted: the writer is alive. One less than
/// the queue's own limit allows, so that no living generation is counted as a failure.
const BUSY_RECEIVES_MAX: u32 = 3;

/// How a message is kept from other workers while its job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visibility {
    /// How long each receive and each renewal hides it: whole seconds, as SQS counts.
    pub hidden: Duration,
    /// How often that is renewed.
    pub renew_every: Duration,
}

impl Visibility {
    /// For writers with this lease. A message whose worker is killed comes back no earlier than the lease of the worker's writer ends, so that
    /// the next worker does not find it busy, and no later than twice the lease.
    #[must_use]
    pub fn of_lease(lease: Duration) -> Self {
        let renew_every = lease / 2;
        Self { hidden: whole_seconds(lease + renew_every), renew_every }
    }
}

/// How a job ended, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Done {
    /// Its generations have ended, or the next job for them is in the queue.
    Over,
    /// One of them has another writer.
    Busy,
    /// One of them could not be streamed.
    Failed,
    /// The message is no job, and never becomes one.
    Unreadable,
}

impl Done {
    /// Of two generations that were streamed side by side. A failure counts most: the message is all that is left of its job.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

/// What becomes of a message when its job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is deleted.
    Deleted,
    /// It comes back after so long. SQS moves it to the queue of failures once it has come back too often.
    Returned(Duration),
}

/// The fate of a message that was received for the `receives`-th time, among writers with this lease.
///
/// A message that is received for the first time and finds a writer is one too many: that writer has a message or an invocation of its own.
/// Later, the writer may be that of a worker that was killed with this message, so it is tried again after a lease.
#[must_use]
pub fn fate(done: Done, receives: u32, lease: Duration) -> Fate {
    match done {
        Done::Busy if (2..=BUSY_RECEIVES_MAX).contains(&receives) => Fate::Returned(whole_seconds(lease)),
        Done::Over | Done::Busy => Fate::Deleted,
        Done::Failed => Fate::Returned(Duration::from_secs(1 << receives.min(6)).min(RETRY_MAX)),
        Done::Unreadable => Fate::Returned(Duration::ZERO),
    }
}

/// Rounded up.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The writer of a worker that is killed renews its lease until then, and the worker the message's at the latest `renew_every` before.
        #[test]
        fn message_of_a_killed_worker_comes_back_after_its_lease_and_within_two(lease in 1_u64..900, since_renewal in 0.0_f64..=1.0) {
            let lease = Duration::from_secs(lease);
            let Visibility { hidden, renew_every } = Visibility::of_lease(lease);
            let since_renewal = renew_every.mul_f64(since_renewal);
            let back_after_kill = hidden.checked_sub(since_renewal).unwrap();
            prop_assert!(back_after_kill >= lease, "{back_after_kill:?}");
            prop_assert!(back_after_kill <= lease * 2, "{back_after_kill:?}");
            prop_assert_eq!(hidden.subsec_nanos(), 0);
        }

        #[test]
        fn no_failed_job_is_deleted_and_none_that_is_over_comes_back(receives in 1_u32..100, lease in 1_u64..900) {
            let lease = Duration::from_secs(lease);
            prop_assert_eq!(fate(Done::Over, receives, lease), Fate::Deleted);
            let Fate::Returned(pause) = fate(Done::Failed, receives, lease) else { return Err(TestCaseError::fail("deleted")) };
            prop_assert!(pause > Duration::ZERO && pause <= RETRY_MAX);
        }
    }

    #[test]
    fn busy_message_is_kept_where_its_own_worker_may_have_died() {
        let lease = Duration::from_secs(30);
        let fates = [1, 2, 3, 4, 5].map(|receives| fate(Done::Busy, receives, lease));
        let back = Fate::Returned(lease);
        assert_eq!(fates, [Fate::Deleted, back, back, Fate::Deleted, Fate::Deleted]);
    }

    #[test]
    fn failure_of_one_generation_is_that_of_the_job() {
        assert_eq!(Done::Over.and(Done::Busy), Done::Busy);
        assert_eq!(Done::Failed.and(Done::Busy), Done::Failed);
        assert_eq!(Done::Over.and(Done::Over), Done::Over);
        assert_eq!(fate(Done::Unreadable, 1, Duration::from_secs(30)), Fate::Returned(Duration::ZERO));
    }
}
