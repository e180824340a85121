//! The schedule on which failed calls are retried, and what others ask for. `backon` runs the former.

use std::time::Duration;

pub use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder as Exponential, Retryable};
use jiff::Timestamp;

/// Waits of `first`, doubling up to `longest`, each shortened at random by up to half of it, so that callers that fail together do
/// not retry together. `retries` bounds the retries; the first try is not one of them.
#[must_use]
pub const fn exponential(first: Duration, longest: Duration, retries: usize) -> Exponential {
    // `backon` adds up to the whole of a wait, so it starts from the halves.
    Exponential::new().with_min_delay(half(first)).with_max_delay(half(longest)).with_max_times(retries).with_jitter()
}

/// The waits of a change that others overtook, until it is planned again: 640 ms at the longest, 8 s in all.
#[must_use]
pub const fn overtaken() -> Exponential {
    exponential(Duration::from_millis(10), Duration::from_millis(640), 18)
}

/// The wait that a `Retry-After` asks for: seconds, or a date, where the past is no wait (RFC 9110, section 10.2.3).
#[must_use]
pub fn after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

const fn half(wait: Duration) -> Duration {
    match wait.checked_div(2) {
        Some(half) => half,
        None => wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_shortened_by_up_to_half() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_millis(500));
        for _ in 0..100 {
            let waits: Vec<Duration> = exponential(first, longest, 5).build().collect();
            let nominal = [100, 200, 400, 500, 500].map(Duration::from_millis);
            assert_eq!(waits.len(), nominal.len());
            for (wait, nominal) in waits.iter().zip(nominal) {
                assert!((nominal / 2..=nominal).contains(wait), "{waits:?}");
            }
        }
    }
}
