//! Which versions of a subject are no longer kept.

use std::time::Duration;

use super::Subject;
use super::version::Version;
use crate::clock::{millis, millis_of};

/// What is kept of a subject, beside its current version, its first one and those with labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRules {
    /// How long a version is kept.
    pub keep: Duration,
    /// The newest versions that are kept however old they are.
    pub keep_last: u64,
}

impl Default for VersionRules {
    /// 90 days, and the last 10.
    fn default() -> Self {
        Self { keep: Duration::from_hours(90 * 24), keep_last: 10 }
    }
}

impl VersionRules {
    /// Whether a version is past its time at `now_ms`. A version whose time cannot be read is kept.
    #[must_use]
    pub fn drop(&self, subject: &Subject, version: &Version, now_ms: i64) -> bool {
        let is_kept = version.number == 1
            || version.number.saturating_add(self.keep_last) > subject.current
            || version.number >= subject.current
            || subject.version_labels.values().any(|labelled| *labelled == version.number);
        !is_kept && millis_of(&version.created_at).is_some_and(|made| made < now_ms.saturating_sub(millis(self.keep)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::rfc3339;

    const DAY: i64 = 24 * 60 * 60 * 1_000;

    proptest! {
        #[test]
        fn only_old_versions_that_nothing_needs_are_dropped(
            current in 1_u64..60,
            ages in prop::collection::vec(0_i64..200, 60),
            labelled in prop::collection::btree_map("[a-z]{1,3}", 1_u64..60, 0..4),
            days in 1_u32..200,
            keep_last in 0_u64..20,
        ) {
            let now = 1_900_000_000_000;
            let subject = Subject { current, version_labels: labelled, ..Subject::default() };
            let rules = VersionRules { keep: Duration::from_hours(24).saturating_mul(days), keep_last };
            for number in 1..=current {
                let age = ages[usize::try_from(number - 1).unwrap()];
                let made = rfc3339(now - age * DAY);
                let version = Version { number, ..Version::by_hand(String::new(), 0, None, None, made) };
                let needed = number == 1
                    || number == current
                    || current - number < keep_last
                    || subject.version_labels.values().any(|other| *other == number);
                prop_assert_eq!(rules.drop(&subject, &version, now), !needed && age > i64::from(days), "{}", number);
            }
        }
    }
}
