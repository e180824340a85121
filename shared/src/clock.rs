//! The clock of the product, which tests advance instead of waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// The system time or a fixed time, plus what the clock was advanced by. Clones share the advance.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    fixed_at_ms: Option<i64>,
    shift_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The system time.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that starts at the system time and moves only by [`advance`](Self::advance).
    #[must_use]
    pub fn manual() -> Self {
        Self::manual_from(Timestamp::now().as_millisecond())
    }

    /// The same, from this time on: milliseconds since the epoch.
    #[must_use]
    pub fn manual_from(at_ms: i64) -> Self {
        Self { fixed_at_ms: Some(at_ms), ..Self::default() }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        let base = self.fixed_at_ms.unwrap_or_else(|| Timestamp::now().as_millisecond());
        base.saturating_add(self.shift_ms.load(Ordering::Relaxed))
    }

    /// Advances the clock and all its clones.
    pub fn advance(&self, by: Duration) {
        self.shift_ms.fetch_add(millis(by), Ordering::Relaxed);
    }
}

/// A duration in whole milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Parses RFC 3339 into milliseconds since the epoch. `None`: the text is not a time.
#[must_use]
pub fn millis_of(rfc3339: &str) -> Option<i64> {
    rfc3339.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// Milliseconds between two times, RFC 3339. `None`: one of them is absent or none, or the second is before the first.
#[must_use]
pub fn duration_ms(from: Option<&str>, to: Option<&str>) -> Option<u64> {
    let [from, to] = [from?, to?].map(millis_of);
    u64::try_from(to? - from?).ok()
}

/// Formats milliseconds since the epoch as RFC 3339 in UTC: `2026-11-21T09:30:00.123Z`.
#[must_use]
pub fn rfc3339(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(|_| format!("{at_ms} ms"), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_parse_back(at_ms in 0_i64..253_402_300_799_000) {
            prop_assert_eq!(millis_of(&rfc3339(at_ms)), Some(at_ms));
        }
    }
}
