//! How often a log is polled and its lease renewed, while nothing happens.

use std::time::Duration;

use crate::limits;

/// How often a writer reads meta: at least three times within its lease.
#[must_use]
pub fn meta_read_every(lease: Duration) -> Duration {
    limits::META_READ_EVERY.min(lease / 3)
}

/// After how long without a stored chunk a writer renews its lease.
#[must_use]
pub fn renew_after(lease: Duration) -> Duration {
    limits::META_WRITE_AFTER.min(lease / 3)
}

/// The pause of a reader after text came: half of the writer's window, so that a poll finds something as often as not.
#[must_use]
pub fn first_pause(watched_window: Duration) -> Duration {
    limits::TAIL_PAUSE_MIN.max(watched_window / 2)
}

/// The pause of a reader whose last pause brought nothing: half as long again, up to [`limits::TAIL_PAUSE_MAX`].
#[must_use]
pub fn next_pause(pause: Duration) -> Duration {
    (pause * 3 / 2).min(limits::TAIL_PAUSE_MAX)
}
