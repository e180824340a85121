//! The schedule on which failed calls are retried. `backon` runs it.

use std::time::Duration;

pub use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder as Exponential, Retryable};

/// Waits of `first`, doubling up to `longest`, each with random jitter of up to its own length added, so that callers that fail
/// together do not retry together. `retries` bounds the retries; the first try is not one of them.
#[must_use]
pub const fn exponential(first: Duration, longest: Duration, retries: usize) -> Exponential {
    Exponential::new().with_min_delay(first).with_max_delay(longest).with_max_times(retries).with_jitter()
}
