//! Quotas: what an organization may use in a day, what it has used, and what a provider asks for it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::generation::usage::Usage;

/// The model name that metrics carry for a model without a configured price: callers name models freely, and each distinct name
/// would create a metric.
pub const OTHER_MODEL: &str = "other";

/// Text costs about a token for every so many bytes, until the provider has counted.
const BYTES_PER_TOKEN: u64 = 4;
const TOKENS_PER_PRICE: u128 = 1_000_000;
const DAY_MS: i64 = 86_400_000;

/// What an organization may use. `None`: as much as it wants. Days are UTC's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Generations running at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// Generations started in one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generations_per_day: Option<u64>,
    /// Bytes of output of the generations started in one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes_per_day: Option<u64>,
    /// What they may cost with the providers, in micro-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_per_day: Option<u64>,
}

impl Quota {
    /// This one, and where it says nothing, the other.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            running: self.running.or(other.running),
            generations_per_day: self.generations_per_day.or(other.generations_per_day),
            output_bytes_per_day: self.output_bytes_per_day.or(other.output_bytes_per_day),
            spend_per_day: self.spend_per_day.or(other.spend_per_day),
        }
    }

    /// Whether anything of a day is bounded, so that it must be counted.
    #[must_use]
    pub const fn counts_days(&self) -> bool {
        self.generations_per_day.is_some() || self.output_bytes_per_day.is_some() || self.spend_per_day.is_some()
    }
}

/// One of the quotas of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daily {
    /// [`Quota::generations_per_day`].
    Generations,
    /// [`Quota::output_bytes_per_day`].
    OutputBytes,
    /// [`Quota::spend_per_day`].
    Spend,
}

/// A day's quota that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedUp {
    /// Which.
    pub what: Daily,
    /// How much it is: generations, bytes, or micro-dollars.
    pub most: u64,
    /// Until the next day.
    pub retry_after: Duration,
}

impl fmt::Display for UsedUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = match self.what {
            Daily::Generations => format!("{} generations", self.most),
            Daily::OutputBytes => format!("{} bytes of output", self.most),
            Daily::Spend => dollars(self.most),
        };
        write!(formatter, "this organization may use {most} a day, and today's are used up; the next day begins at 00:00 UTC")
    }
}

/// Micro-dollars for people: `$12.50`.
#[must_use]
pub fn dollars(micros: u64) -> String {
    let (whole, rest) = (micros / 1_000_000, format!("{:06}", micros % 1_000_000));
    let rest = rest.trim_end_matches('0');
    format!("${whole}.{rest:0<2}")
}

/// What an organization has used of one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUsage {
    /// Generations started.
    #[serde(default)]
    pub generations: u64,
    /// Bytes of output, of those that have ended.
    #[serde(default)]
    pub output_bytes: u64,
    /// What they cost, in micro-dollars.
    #[serde(default)]
    pub spend: u64,
}

impl DayUsage {
    /// The quota that is used up.
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

/// What one generation counts for, and what was left for it when it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The day that it counts for: `2026-11-21`.
    pub day: String,
    /// Bytes of output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes_left: Option<u64>,
    /// Micro-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_left: Option<u64>,
    /// How many generations there may be on that day.
    #[serde(skip)]
    pub generations_per_day: Option<u64>,
}

/// What stops a writer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of output.
    pub output_bytes: Option<u64>,
    /// Money.
    pub spend: Option<SpendBound>,
}

/// Micro-dollars, and what they are spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpendBound {
    /// How many are left.
    pub left: u64,
    /// What the model costs.
    pub price: Price,
    /// The request's length.
    pub prompt_bytes: u64,
}

impl SpendBound {
    /// Whether more has been spent.
    #[must_use]
    pub fn is_passed(&self, usage: Option<&Usage>, received_bytes: u64) -> bool {
        self.price.of(usage, self.prompt_bytes, received_bytes) > self.left
    }
}

/// The day of a moment, `2026-11-21`, and the seconds to its end.
#[must_use]
pub fn day(now_ms: i64) -> (String, u64) {
    let day = crate::clock::rfc3339(now_ms).chars().take_while(|character| *character != 'T').collect();
    (day, (DAY_MS - now_ms.rem_euclid(DAY_MS)).cast_unsigned().div_ceil(1_000))
}

/// What a model costs, in micro-dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of the prompt.
    pub input: u64,
    /// Of the output, reasoning included.
    pub output: u64,
}

impl Price {
    /// What a generation has cost, rounded up: by the provider's count, and where it has not counted (yet), by bytes. What was
    /// received in all attempts counts, and so does the prompt as soon as something was received.
    #[must_use]
    pub fn of(self, usage: Option<&Usage>, prompt_bytes: u64, received_bytes: u64) -> u64 {
        if usage.is_none() && received_bytes == 0 {
            return 0;
        }
        let input = usage.map_or_else(|| prompt_bytes.div_ceil(BYTES_PER_TOKEN), |usage| usage.input_tokens);
        let output = received_bytes.div_ceil(BYTES_PER_TOKEN).max(usage.map_or(0, |usage| usage.output_tokens));
        let cost = u128::from(input) * u128::from(self.input) + u128::from(output) * u128::from(self.output);
        u64::try_from(cost.div_ceil(TOKENS_PER_PRICE)).unwrap_or(u64::MAX)
    }
}

/// Prices by provider and model; the model `*` is every other one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Prices(BTreeMap<String, BTreeMap<String, Price>>);

impl Prices {
    /// Reads `{"PROVIDER":{"MODEL":{"input":1250000,"output":10000000}}}`.
    ///
    /// # Errors
    /// What was expected, in one sentence.
    pub fn parse(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text else { return Ok(Self::default()) };
        let form = r#"{"PROVIDER":{"MODEL":{"input":1250000,"output":10000000}}}, in micro-dollars per million tokens"#;
        serde_json::from_str(text).map_err(|error| format!("LONGHAND_PRICES must be like {form}: {error}"))
    }

    /// The model, if it has a price of its own. Callers may name any; these are few.
    #[must_use]
    pub fn known_model<'a>(&self, provider: &str, model: &'a str) -> &'a str {
        let has_price = self.0.get(provider).is_some_and(|models| models.contains_key(model));
        if has_price { model } else { OTHER_MODEL }
    }

    /// The price of a model.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<Price> {
        let models = self.0.get(provider)?;
        models.get(model).or_else(|| models.get("*")).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_utcs_and_ends_at_midnight() {
        assert_eq!(day(1_795_219_200_000), ("2026-11-21".to_owned(), 86_400));
        assert_eq!(day(1_795_219_199_001), ("2026-11-20".to_owned(), 1));
        assert_eq!(day(1_795_262_400_000), ("2026-11-21".to_owned(), 43_200));
    }

    #[test]
    fn a_generation_costs_what_the_provider_counted_and_never_less_than_what_came() {
        let price = Price { input: 1_250_000, output: 10_000_000 };
        let usage = Usage { input_tokens: 1_000, output_tokens: 500, total_tokens: 1_500, ..Usage::default() };
        assert_eq!(price.of(Some(&usage), 9, 400), 1_250 + 5_000);
        assert_eq!(price.of(Some(&usage), 9, 4_000), 1_250 + 10_000, "two attempts came, and the second was counted");
        assert_eq!(price.of(None, 4_000, 4_000), 1_250 + 10_000, "by bytes");
        assert_eq!(price.of(None, 4_000, 0), 0);
        assert_eq!(price.of(None, 1, 1), 12, "rounded up");
        assert_eq!(Price { input: u64::MAX, output: u64::MAX }.of(None, u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn money_is_told_in_dollars() {
        let told = [(0, "$0.00"), (12_500_000, "$12.50"), (1, "$0.000001"), (3_000_000, "$3.00")];
        for (micros, expected) in told {
            assert_eq!(dollars(micros), expected);
        }
    }

    #[test]
    fn prices_are_found_by_model_or_for_all() {
        let prices = Prices::parse(Some(r#"{"p":{"m":{"input":1,"output":2},"*":{"input":3,"output":4}}}"#)).unwrap();
        assert_eq!(prices.find("p", "m"), Some(Price { input: 1, output: 2 }));
        assert_eq!(prices.find("p", "n"), Some(Price { input: 3, output: 4 }));
        assert_eq!(prices.find("q", "m"), None);
        assert_eq!([("p", "m"), ("p", "n"), ("q", "m")].map(|(p, m)| prices.known_model(p, m)), ["m", OTHER_MODEL, OTHER_MODEL]);
        let told = Prices::parse(Some(r#"{"p":{"m":{"in":1}}}"#)).unwrap_err();
        assert!(told.starts_with("LONGHAND_PRICES must be like") && told.contains("in"), "{told}");
    }

    #[test]
    fn the_first_quota_that_is_used_up_is_told() {
        let quota = Quota { generations_per_day: Some(3), spend_per_day: Some(10), ..Quota::default() };
        let used = |generations, spend| DayUsage { generations, output_bytes: 99, spend }.used_up(&quota);
        assert_eq!(used(2, 9), None);
        assert_eq!(used(3, 10), Some((Daily::Generations, 3)));
        assert_eq!(used(2, 10), Some((Daily::Spend, 10)));
        assert_eq!(Quota { running: Some(1), ..Quota::default() }.or(Quota { running: Some(2), ..quota }).running, Some(1));
    }
}
