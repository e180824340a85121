//! The time, as everything here sees it. A test moves it instead of waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// The machine's time, or one that stands still, plus what it was advanced by. Clones share the advance.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    stands_at: Option<i64>,
    shift_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's own time.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A time that begins at the machine's, and passes only by [`advance`](Self::advance).
    #[must_use]
    pub fn manual() -> Self {
        Self { stands_at: Some(Timestamp::now().as_millisecond()), ..Self::default() }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        let base = self.stands_at.unwrap_or_else(|| Timestamp::now().as_millisecond());
        base.saturating_add(self.shift_ms.load(Ordering::Relaxed))
    }

    /// Moves the time on, for every clone.
    pub fn advance(&self, by: Duration) {
        self.shift_ms.fetch_add(millis(by), Ordering::Relaxed);
    }
}

/// The wait behind try number `tries` (from 1): `first`, doubling up to `most`, with up to half of it taken off at random, so that
/// those who failed together do not come back together.
#[must_use]
pub fn backoff(first: Duration, most: Duration, tries: u32) -> Duration {
    first.saturating_mul(1 << (tries.max(1) - 1).min(20)).min(most).mul_f64(1.0 - fastrand::f64() / 2.0)
}

/// A duration in whole milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// [`rfc3339`], read back. `None`: the text is no moment.
#[must_use]
pub fn millis_of(rfc3339: &str) -> Option<i64> {
    rfc3339.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// A moment in milliseconds, as RFC 3339 in UTC: `2026-11-21T09:30:00.123Z`.
#[must_use]
pub fn rfc3339(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(|_| format!("{at_ms} ms"), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread_over_their_upper_half() {
        for (tries, ms) in [(0, 100), (1, 100), (2, 200), (4, 800), (5, 1_000), (40, 1_000), (u32::MAX, 1_000)] {
            let whole = Duration::from_millis(ms);
            let waits: Vec<Duration> =
                (0..400).map(|_| backoff(Duration::from_millis(100), Duration::from_secs(1), tries)).collect();
            assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)), "try {tries}: {waits:?}");
            // Four hundred that all miss a fifth of the range: once in 10^38.
            assert!(waits.iter().any(|wait| *wait < whole.mul_f64(0.6)) && waits.iter().any(|wait| *wait > whole.mul_f64(0.9)));
        }
    }
}
