//! What callers are told of their statistics: which days, and by what they are divided.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, date as date_of};
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::{Sums, TallyKey};
use crate::error::{Error, FieldError};
use crate::limits::{USAGE_DAYS_DEFAULT, USAGE_DAYS_MAX, USAGE_GROUPS_MAX};

/// What statistics are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The UTC day on which a generation ended.
    Day,
    /// The provider.
    Provider,
    /// The model.
    Model,
}

/// Which days, from the first to the last, and by what they are divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// The first day, UTC.
    pub from: Date,
    /// The last day, not before the first, and fewer than [`USAGE_DAYS_MAX`] after it.
    pub to: Date,
    /// At least one.
    pub by: BTreeSet<Dimension>,
}

/// The statistics of some days.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UsageReport {
    /// Always `usage`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// What [`Self::data`] is divided by.
    pub by: Vec<Dimension>,
    /// A group for each combination in which generations have ended, in the order of day, provider and model.
    pub data: Vec<UsageGroup>,
    /// All of them together.
    pub total: UsageFigures,
}

/// The statistics of one combination. What they are not divided by is absent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UsageGroup {
    /// The UTC day on which they ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Their provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Their model, as it was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What they came to.
    #[serde(flatten)]
    pub figures: UsageFigures,
}

/// What generations came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageFigures {
    /// How many, by how they ended.
    pub generations: Counts,
    /// The share that completed of those that were not cancelled, from 0 to 1; `None`: there are none.
    pub success_rate: Option<f64>,
    /// Milliseconds from the creation to the end of those that completed.
    pub duration_ms: Spread,
    /// Milliseconds from the creation to the first text of those that had text.
    pub first_text_ms: Spread,
    /// Tokens.
    pub usage: Tokens,
    /// Micro-dollars at the prices of the deployment.
    pub cost: u64,
    /// The same in dollars.
    pub cost_usd: f64,
    /// Generations that are not in the cost: their model had no price, or they ended without a log.
    pub without_cost: u64,
}

/// Generations, by how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub total: u64,
    /// Those that completed.
    pub completed: u64,
    /// Those that the provider stopped at a limit or a filter.
    pub incomplete: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
}

/// How values are spread: within 3.2 % of the exact ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Values.
    pub count: u64,
    /// What half of them do not exceed; `None`: there are none.
    pub median: Option<u64>,
    /// What 95 % of them do not exceed.
    pub p95: Option<u64>,
}

/// Tokens of requests and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Of requests.
    pub input_tokens: u64,
    /// Of answers.
    pub output_tokens: u64,
}

const fn object() -> &'static str {
    "usage"
}

impl UsageQuery {
    /// The query of these parameters; what is absent is the default: the [`USAGE_DAYS_DEFAULT`] days until today or `to`, by day.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every wrong parameter.
    pub fn of(from: Option<&str>, to: Option<&str>, by: Option<&str>, today: Date) -> Result<Self, Error> {
        let mut errors = Vec::new();
        let mut date = |name: &str, text: Option<&str>| {
            let date = text.map(|text| text.parse().ok().filter(|date: &Date| text.len() == 10 && date.to_string() == text));
            if date == Some(None) {
                errors.push(FieldError::new(name, "must be a day, like 2026-11-21"));
            }
            date.flatten()
        };
        let (given_from, to) = (date("from", from), date("to", to).unwrap_or(today));
        let from = given_from.unwrap_or_else(|| to.saturating_sub((USAGE_DAYS_DEFAULT - 1).days()).max(date_of(0, 1, 1)));
        if errors.is_empty() && !(0..USAGE_DAYS_MAX).contains(&i64::from((to - from).get_days())) {
            let expected = format!("must be `to`, which is {to}, or one of the {} days before it", USAGE_DAYS_MAX - 1);
            errors.push(FieldError::new("from", expected));
        }
        let named = by.unwrap_or("day").split(',').map(str::parse).collect::<Result<Vec<Dimension>, ()>>();
        let by: BTreeSet<Dimension> = named.iter().flatten().copied().collect();
        if named.map_or(0, |named| named.len()) != by.len() || by.is_empty() {
            let expected = "must be day, provider, model, or some of them with commas between, like day,model, each once";
            errors.push(FieldError::new("by", expected));
        }
        if errors.is_empty() { Ok(Self { from, to, by }) } else { Err(Error::InvalidRequest(errors)) }
    }
}

impl FromStr for Dimension {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "day" => Ok(Self::Day),
            "provider" => Ok(Self::Provider),
            "model" => Ok(Self::Model),
            _ => Err(()),
        }
    }
}

/// Groups that are being added up. They are bounded, because an answer is.
#[derive(Debug)]
pub struct Grouping {
    query: UsageQuery,
    groups: BTreeMap<[Option<String>; 3], Sums>,
    total: Sums,
}

impl Grouping {
    /// Of nothing yet.
    #[must_use]
    pub fn new(query: UsageQuery) -> Self {
        Self { query, groups: BTreeMap::new(), total: Sums::default() }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: there are more than [`USAGE_GROUPS_MAX`] groups.
    pub fn add(&mut self, key: TallyKey, sums: &Sums) -> Result<(), Error> {
        let of = |dimension: Dimension, value: String| Some(value).filter(|_| self.query.by.contains(&dimension));
        let group = [of(Dimension::Day, key.day), of(Dimension::Provider, key.provider), of(Dimension::Model, key.model)];
        self.groups.entry(group).or_default().merge(sums);
        self.total.merge(sums);
        if self.groups.len() > USAGE_GROUPS_MAX {
            return Err(too_much());
        }
        Ok(())
    }

    /// What they came to.
    #[must_use]
    pub fn report(self) -> UsageReport {
        let group = |([day, provider, model], sums): ([Option<String>; 3], Sums)| {
            let figures = figures(&sums);
            UsageGroup { day, provider, model, figures }
        };
        UsageReport {
            object: object(),
            from: self.query.from.to_string(),
            to: self.query.to.to_string(),
            by: self.query.by.into_iter().collect(),
            data: self.groups.into_iter().map(group).collect(),
            total: figures(&self.total),
        }
    }
}

/// The error of a query that comes to too much.
#[must_use]
pub fn too_much() -> Error {
    let expected = format!("must be fewer days, or fewer dimensions: an answer has at most {USAGE_GROUPS_MAX} groups");
    Error::invalid("from", expected)
}

#[expect(clippy::cast_precision_loss, reason = "a rate and dollars are told to a person")]
fn figures(sums: &Sums) -> UsageFigures {
    let total = sums.generations();
    let judged = total.saturating_sub(sums.cancelled);
    UsageFigures {
        generations: Counts {
            total,
            completed: sums.completed,
            incomplete: sums.incomplete,
            failed: sums.failed,
            cancelled: sums.cancelled,
        },
        success_rate: (judged > 0).then(|| sums.completed as f64 / judged as f64),
        duration_ms: spread(&sums.duration),
        first_text_ms: spread(&sums.first_text),
        usage: Tokens { input_tokens: sums.input_tokens, output_tokens: sums.output_tokens },
        cost: sums.cost,
        cost_usd: sums.cost as f64 / 1e6,
        without_cost: sums.without_cost,
    }
}

fn spread(of: &Histogram) -> Spread {
    Spread { count: of.count(), median: of.quantile(50), p95: of.quantile(95) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = jiff::civil::date(2026, 11, 21);

    fn query(from: Option<&str>, to: Option<&str>, by: Option<&str>) -> Result<(String, String, usize), Vec<String>> {
        match UsageQuery::of(from, to, by, TODAY) {
            Ok(query) => Ok((query.from.to_string(), query.to.to_string(), query.by.len())),
            Err(Error::InvalidRequest(errors)) => Err(errors.into_iter().map(|error| error.pointer).collect()),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn days_have_defaults_and_bounds() {
        let days = |from: &str, to: &str, by| Ok((from.to_owned(), to.to_owned(), by));
        assert_eq!(query(None, None, None), days("2026-10-23", "2026-11-21", 1));
        assert_eq!(query(None, Some("2024-02-29"), Some("model,day")), days("2024-01-31", "2024-02-29", 2));
        assert_eq!(query(Some("2026-11-21"), None, Some("day")), days("2026-11-21", "2026-11-21", 1));
        assert_eq!(query(Some("2025-10-18"), None, None), days("2025-10-18", "2026-11-21", 1));
        assert_eq!(query(None, Some("0000-01-02"), None), days("0000-01-01", "0000-01-02", 1), "a year has four digits");
        let refused = [
            (Some("2025-10-17"), None, None, vec!["from"]),
            (Some("2026-11-22"), None, None, vec!["from"]),
            (Some("2026-02-30"), Some("21.11.2026"), Some("hour"), vec!["from", "to", "by"]),
            (Some("20261121"), None, Some(""), vec!["from", "by"]),
            (Some("2026-11-21T10:00:00"), None, Some("day,"), vec!["from", "by"]),
            (None, Some("-009999-01-01"), Some("day,day"), vec!["to", "by"]),
        ];
        for (from, to, by, wrong) in refused {
            assert_eq!(query(from, to, by), Err(wrong.into_iter().map(str::to_owned).collect()), "{from:?} {to:?} {by:?}");
        }
    }

    #[test]
    fn groups_add_up_and_leave_out_what_they_are_not_divided_by() {
        let key = |day: &str, provider: &str, model: &str| TallyKey {
            organization: "acme".parse().unwrap(),
            day: day.into(),
            provider: provider.into(),
            model: model.into(),
        };
        let sums = |completed, cancelled| Sums { completed, cancelled, cost: 1_500_000, ..Sums::default() };
        let mut grouping = Grouping::new(UsageQuery::of(None, None, Some("model"), TODAY).unwrap());
        grouping.add(key("2026-11-20", "b", "m"), &sums(3, 1)).unwrap();
        grouping.add(key("2026-11-21", "a", "m"), &Sums { failed: 1, ..sums(0, 0) }).unwrap();
        grouping.add(key("2026-11-21", "a", "l"), &sums(0, 2)).unwrap();
        let report = grouping.report();
        let told: Vec<_> = report.data.iter().map(|group| (group.model.as_deref(), group.figures.success_rate)).collect();
        assert_eq!(told, [(Some("l"), None), (Some("m"), Some(0.75))]);
        assert!(report.data.iter().all(|group| group.day.is_none() && group.provider.is_none()));
        assert_eq!((report.total.generations.total, report.total.cost_usd), (7, 4.5));
        assert_eq!(report.total.duration_ms, Spread { count: 0, median: None, p95: None });
    }

    #[test]
    fn an_answer_is_bounded() {
        let mut grouping = Grouping::new(UsageQuery::of(None, None, Some("model"), TODAY).unwrap());
        let mut add = |number: usize| {
            let key = TallyKey {
                organization: "acme".parse().unwrap(),
                day: "2026-11-21".into(),
                provider: "p".into(),
                model: number.to_string(),
            };
            grouping.add(key, &Sums::default())
        };
        assert!((0..USAGE_GROUPS_MAX).all(|number| add(number).is_ok()));
        assert!(add(USAGE_GROUPS_MAX).is_err());
    }
}
