//! The verbs of subjects and their versions.

pub(in crate::verbs) mod compare;
pub(in crate::verbs) mod head;
mod regenerate;
pub(in crate::verbs) mod retention;
pub(in crate::verbs) mod settle;
pub(in crate::verbs) mod versions;

use std::time::Duration;

use crate::retry::{self, BackoffBuilder, ExponentialBackoff};

/// The waits between tries to change a subject that others change: 640 ms at the longest, 8 s in all.
const CHANGED_WAIT: Duration = Duration::from_millis(10);
const CHANGED_WAIT_MAX: Duration = Duration::from_millis(640);
const CHANGED_RETRIES: usize = 18;

fn waits() -> ExponentialBackoff {
    retry::exponential(CHANGED_WAIT, CHANGED_WAIT_MAX, CHANGED_RETRIES).build()
}
