//! The verbs of notifications, endpoints and deliveries.

pub(in crate::verbs) mod deliver;
pub(in crate::verbs) mod deliveries;
pub(in crate::verbs) mod endpoints;
pub(in crate::verbs) mod fan_out;
pub(in crate::verbs) mod inbox;

use std::time::Duration;

use crate::retry::{self, BackoffBuilder, ExponentialBackoff};

/// The waits between tries to change an endpoint that others change: 3 s in all.
const CHANGED_WAIT: Duration = Duration::from_millis(10);
const CHANGED_WAIT_MAX: Duration = Duration::from_millis(500);
const CHANGED_RETRIES: usize = 12;

fn changes() -> ExponentialBackoff {
    retry::exponential(CHANGED_WAIT, CHANGED_WAIT_MAX, CHANGED_RETRIES).build()
}
