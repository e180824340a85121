//! Histograms that add up: how often a value fell into each of a fixed sequence of buckets, which is the same for all.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Buckets of each doubling, as a power of two. A bucket is at most a sixteenth of its least value wide, so what is told of its values, its
/// middle, is at most 1/32 (3.2 %) from each of them. Stored rows name buckets by their numbers: another power would require rewriting them.
const STEPS_BITS: u32 = 4;
const STEPS: u64 = 1 << STEPS_BITS;

/// Counts by bucket. Values below 32 have a bucket each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Histogram(BTreeMap<u16, u64>);

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        let count = self.0.entry(bucket_of(value)).or_default();
        *count = count.saturating_add(1);
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, added) in &other.0 {
            let count = self.0.entry(*bucket).or_default();
            *count = count.saturating_add(*added);
        }
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// A value that `percent` of a hundred values, from 1 to 100, do not exceed: the middle of the bucket in which the value of that rank is
    /// (the rank is rounded up). `None`: nothing was counted.
    #[must_use]
    pub fn quantile(&self, percent: u8) -> Option<u64> {
        let rank = (u128::from(self.count()) * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(bucket, count)| {
            seen += u128::from(*count);
            (seen >= rank).then(|| middle_of(*bucket))
        })
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn bucket_of(value: u64) -> u16 {
    let doublings = u64::from(value.max(1).ilog2().saturating_sub(STEPS_BITS));
    // From 16 on, the upper five bits of the value say which step of which doubling it is.
    u16::try_from(doublings * STEPS + (value >> doublings)).unwrap_or(u16::MAX)
}

fn middle_of(bucket: u16) -> u64 {
    let doublings = (u64::from(bucket) / STEPS).saturating_sub(1);
    let least = (u64::from(bucket) - doublings * STEPS) << doublings;
    let width = 1_u64 << doublings;
    least + (width - 1) / 2
}

impl From<Histogram> for String {
    fn from(histogram: Histogram) -> Self {
        let mut text = Self::new();
        for (bucket, count) in histogram.0 {
            let _ = write!(text, "{}{bucket}:{count}", if text.is_empty() { "" } else { " " });
        }
        text
    }
}

impl TryFrom<String> for Histogram {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = |pair: &str| {
            let (bucket, count) = pair.split_once(':')?;
            Some((bucket.parse().ok().filter(|bucket| *bucket <= bucket_of(u64::MAX))?, count.parse().ok()?))
        };
        let pairs = text.split_whitespace().map(|pair| read(pair).ok_or_else(|| format!("`{pair}` is no bucket and count")));
        pairs.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.add(*value);
        }
        histogram
    }

    proptest! {
        #[test]
        fn the_middle_of_a_bucket_is_within_a_thirty_second_of_its_values(value in prop_oneof![0_u64..100_000, any::<u64>()]) {
            let told = middle_of(bucket_of(value));
            prop_assert!(told.abs_diff(value) <= value / 32, "{value} is told as {told}");
            prop_assert_eq!(bucket_of(told), bucket_of(value));
        }

        #[test]
        fn buckets_are_in_the_order_of_their_values(one in any::<u64>(), other in any::<u64>()) {
            prop_assert_eq!(one.min(other).cmp(&one.max(other)).is_le(), bucket_of(one.min(other)) <= bucket_of(one.max(other)));
        }

        #[test]
        fn quantiles_are_within_the_bound_of_the_exact_ones(mut values in prop::collection::vec(0_u64..10_000_000, 1..200), percent in 1_u8..=100) {
            let told = of(&values).quantile(percent).unwrap();
            values.sort_unstable();
            let exact = values[(values.len() * usize::from(percent)).div_ceil(100).max(1) - 1];
            prop_assert!(told.abs_diff(exact) <= exact / 32, "{exact} is told as {told}");
        }

        #[test]
        fn parts_add_up_to_the_whole(values in prop::collection::vec(any::<u64>(), 0..100), at in 0_usize..100) {
            let (one, other) = values.split_at(at.min(values.len()));
            let mut sum = of(other);
            sum.merge(&of(one));
            prop_assert_eq!(sum.count(), values.len() as u64);
            prop_assert_eq!(Histogram::try_from(String::from(sum.clone())), Ok(sum.clone()));
            prop_assert_eq!(sum, of(&values));
        }
    }

    #[test]
    fn stored_buckets_stay_as_they_are() {
        let buckets = [0, 1, 31, 32, 33, 34, 1_000, 60_000, u64::MAX].map(bucket_of);
        assert_eq!(buckets, [0, 1, 31, 32, 32, 33, 111, 205, 975]);
        assert_eq!(String::from(of(&[1_000, 5, 1_001])), "5:1 111:2");
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        for text in ["x", "1", "1:x", "976:1", "-1:1"] {
            assert!(Histogram::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert!(Histogram::try_from(String::new()).unwrap().quantile(50).is_none());
    }
}
