//! How fast a migration writes.

use std::time::Duration;

/// The pause after `units` write units that took `elapsed`, so that no more than `per_second` are written in a second on average.
#[must_use]
pub fn pause(units: f64, elapsed: Duration, per_second: u32) -> Duration {
    let due = Duration::try_from_secs_f64(units.max(0.0) / f64::from(per_second.max(1))).unwrap_or(Duration::ZERO);
    due.saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_rate_is_never_exceeded(steps in prop::collection::vec((0.0_f64..5_000.0, 0_u64..500), 1..50), per_second in 1_u32..1_000) {
            let (mut units, mut elapsed) = (0.0, Duration::ZERO);
            for (more, took_ms) in steps {
                units += more;
                elapsed += Duration::from_millis(took_ms);
                elapsed += pause(units, elapsed, per_second);
                prop_assert!(units <= f64::from(per_second) * elapsed.as_secs_f64() + 1e-3);
                prop_assert_eq!(pause(units, elapsed + Duration::from_millis(1), per_second), Duration::ZERO);
            }
        }
    }
}
