//! What can stop an attempt, the provider aside: its lease, a cancel, the deadlines, the limits on its size and cost, its schema.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Stop;
use crate::generation::usage::Usage;
use crate::limits;
use crate::quota::Bounds;
use crate::verbs::stream::Limits;
use crate::verbs::stream::lease::Lease;
use crate::verbs::stream::schema_watch::SchemaWatch;

/// The share of the output limit, in percent, at which one warning is logged.
const WARNING_PERCENT: u64 = 80;

pub(super) struct Monitor {
    pub lease: Lease,
    pub schema: SchemaWatch,
    pub stopping: CancellationToken,
    give_up_at: Instant,
    stop_at: Option<Instant>,
    output_bytes_max: u64,
    /// Whether the warning about its size has been logged.
    is_warned: bool,
    bounds: Bounds,
}

impl Monitor {
    pub fn new(lease: Lease, schema: SchemaWatch, limits: Limits, output_bytes_max: u64, stopping: CancellationToken) -> Self {
        let Limits { give_up_at, stop_at, bounds, .. } = limits;
        Self { lease, schema, stopping, give_up_at, stop_at, output_bytes_max, is_warned: false, bounds }
    }

    /// When the generation's time is over; with `in_this_function`, when the function's is, if that is earlier.
    pub fn deadline(&self, in_this_function: bool) -> Instant {
        let stop_at = self.stop_at.filter(|_| in_this_function);
        stop_at.map_or(self.give_up_at, |stop_at| stop_at.min(self.give_up_at))
    }

    /// The end of a sleep of this length, or of one without an end: the deadline at the latest.
    pub fn wake_at(&self, sleep: Option<Duration>) -> Instant {
        let deadline = self.deadline(true);
        sleep.map_or(deadline, |sleep| deadline.min(Instant::now() + sleep))
    }

    pub fn check_time(&self) -> Option<Stop> {
        let now = Instant::now();
        if now >= self.give_up_at {
            return Some(Stop::Timeout);
        }
        self.stop_at.filter(|stop_at| now >= *stop_at).map(|_| Stop::Deadline)
    }

    pub fn check_lease(&self) -> Option<Stop> {
        let view = self.lease.view();
        if view.taken_over {
            return Some(Stop::Fenced);
        }
        view.cancel_requested.then_some(Stop::Cancelled)
    }

    /// Checks the size of the output. Text above these limits is not stored.
    pub fn check_size(&mut self, received_bytes: u64, events: u64) -> Option<Stop> {
        if !self.is_warned && received_bytes >= self.output_bytes_max / 100 * WARNING_PERCENT {
            self.is_warned = true;
            let most = self.output_bytes_max;
            tracing::warn!(
                received_bytes,
                max_output_bytes = most,
                "A generation has {WARNING_PERCENT} % of the output that it may have."
            );
        }
        let is_too_large = received_bytes > self.output_bytes_max || events > limits::EVENTS_MAX;
        is_too_large.then_some(Stop::OutputLimit(self.output_bytes_max))
    }

    /// Checks what the organization had left of its day. Text above these limits is stored, and so it is counted.
    pub fn check_day(&self, received_bytes: u64, usage: Option<&Usage>) -> Option<Stop> {
        let bytes = self.bounds.output_bytes.filter(|left| received_bytes > *left).map(Stop::OutputLimit);
        let spend = self.bounds.spend.filter(|bound| bound.is_passed(usage, received_bytes));
        bytes.or_else(|| spend.map(|bound| Stop::SpendLimit(bound.left)))
    }
}
