//! Quotas: what an organization may use in a day, and what it has used.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub mod prices;

use crate::generation::usage::Usage;
use prices::Price;

const DAY_MS: i64 = 86_400_000;

/// What an organization may use. `None`: unlimited. Days are UTC days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Generations running at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// Runs at work at once; without one, 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<u64>,
    /// Generations started in one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generations_per_day: Option<u64>,
    /// Bytes of output of the generations started in one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes_per_day: Option<u64>,
    /// The providers' price of the generations started in one day, in micro-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_per_day: Option<u64>,
}

impl Quota {
    /// This quota, with its unset fields taken from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            running: self.running.or(other.running),
            runs: self.runs.or(other.runs),
            generations_per_day: self.generations_per_day.or(other.generations_per_day),
            output_bytes_per_day: self.output_bytes_per_day.or(other.output_bytes_per_day),
            spend_per_day: self.spend_per_day.or(other.spend_per_day),
        }
    }

    /// Whether a daily quota is set, so that days must be counted.
    #[must_use]
    pub const fn counts_days(&self) -> bool {
        self.generations_per_day.is_some() || self.output_bytes_per_day.is_some() || self.spend_per_day.is_some()
    }
}

/// A daily quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daily {
    /// [`Quota::generations_per_day`].
    Generations,
    /// [`Quota::output_bytes_per_day`].
    OutputBytes,
    /// [`Quota::spend_per_day`].
    Spend,
}

/// An exhausted daily quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedUp {
    /// The quota.
    pub what: Daily,
    /// Its size: generations, bytes, or micro-dollars.
    pub most: u64,
    /// The time until the next day begins.
    pub retry_after: Duration,
}

impl fmt::Display for UsedUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = match self.what {
            Daily::Generations => format!("{} generations", self.most),
            Daily::OutputBytes => format!("{} bytes of output", self.most),
            Daily::Spend => dollars(self.most),
        };
        write!(formatter, "the organization's quota of {most} a day is used up; the next day begins at 00:00 UTC")
    }
}

/// Formats micro-dollars: `$12.50`.
#[must_use]
pub fn dollars(micros: u64) -> String {
    format!("${}", amount(micros))
}

/// The same without the sign, for columns that name it: `12.50`.
#[must_use]
pub fn amount(micros: u64) -> String {
    let (whole, rest) = (micros / 1_000_000, format!("{:06}", micros % 1_000_000));
    let rest = rest.trim_end_matches('0');
    format!("{whole}.{rest:0<2}")
}

/// What an organization has used of one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUsage {
    /// Generations started.
    #[serde(default)]
    pub generations: u64,
    /// Bytes of output of the generations that have ended.
    #[serde(default)]
    pub output_bytes: u64,
    /// Their cost, in micro-dollars.
    #[serde(default)]
    pub spend: u64,
}

impl DayUsage {
    /// The first quota that is used up, and its size.
    #[must_use]
    pub fn used_up(&self, quota: &Quota) -> Option<(Daily, u64)> {
        let pairs = [
            (Daily::Generations, self.generations, quota.generations_per_day),
            (Daily::OutputBytes, self.output_bytes, quota.output_bytes_per_day),
            (Daily::Spend, self.spend, quota.spend_per_day),
        ];
        pairs.into_iter().find_map(|(what, used, most)| most.filter(|most| used >= *most).map(|most| (what, most)))
    }
}

/// The day that a generation counts towards, and what was left of its quotas at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The day, such as `2026-11-21`.
    pub day: String,
    /// Bytes of output that were left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes_left: Option<u64>,
    /// Micro-dollars that were left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_left: Option<u64>,
    /// The quota of generations on that day.
    #[serde(skip)]
    pub generations_per_day: Option<u64>,
    /// Generations that were left.
    #[serde(skip)]
    pub generations_left: Option<u64>,
}

/// The bounds at which a writer stops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of output.
    pub output_bytes: Option<u64>,
    /// Spending.
    pub spend: Option<SpendBound>,
}

/// A bound on spending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpendBound {
    /// Micro-dollars left.
    pub left: u64,
    /// The model's price.
    pub price: Price,
    /// The request's length in bytes.
    pub prompt_bytes: u64,
}

impl SpendBound {
    /// Whether more than that has been spent.
    #[must_use]
    pub fn is_passed(&self, usage: Option<&Usage>, received_bytes: u64) -> bool {
        self.price.of(usage, self.prompt_bytes, received_bytes) > self.left
    }
}

/// The UTC day of a moment, such as `2026-11-21`, and the seconds until it ends.
#[must_use]
pub fn day(now_ms: i64) -> (String, u64) {
    let day = crate::clock::rfc3339(now_ms).chars().take_while(|character| *character != 'T').collect();
    (day, (DAY_MS - now_ms.rem_euclid(DAY_MS)).cast_unsigned().div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight_utc() {
        assert_eq!(day(1_795_219_200_000), ("2026-11-21".to_owned(), 86_400));
        assert_eq!(day(1_795_219_199_001), ("2026-11-20".to_owned(), 1));
        assert_eq!(day(1_795_262_400_000), ("2026-11-21".to_owned(), 43_200));
    }

    #[test]
    fn money_is_formatted_in_dollars() {
        let cases = [(0, "$0.00"), (12_500_000, "$12.50"), (1, "$0.000001"), (3_000_000, "$3.00")];
        for (micros, expected) in cases {
            assert_eq!(dollars(micros), expected);
        }
    }

    #[test]
    fn first_exhausted_quota_is_reported() {
        let quota = Quota { generations_per_day: Some(3), spend_per_day: Some(10), ..Quota::default() };
        let used = |generations, spend| DayUsage { generations, output_bytes: 99, spend }.used_up(&quota);
        assert_eq!(used(2, 9), None);
        assert_eq!(used(3, 10), Some((Daily::Generations, 3)));
        assert_eq!(used(2, 10), Some((Daily::Spend, 10)));
        assert_eq!(Quota { running: Some(1), ..Quota::default() }.or(Quota { running: Some(2), ..quota }).running, Some(1));
    }
}
