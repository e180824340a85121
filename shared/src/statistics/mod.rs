//! Statistics: what the generations of an organization came to, by the day on which they ended, their provider and their model.
//!
//! A [`Tally`] is one such row. It is added to from the records table's stream, whose records may come again; [`Tally::count`] counts each
//! once. [`report`] is what callers are told.

pub mod histogram;
pub mod report;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::generation::Status;
use crate::ids::Organization;
use histogram::Histogram;

/// How much older than a row's newest mark another one must be to be dropped, in seconds. `DynamoDB` keeps a stream's records for 24 hours,
/// so none at or below that mark can come again.
const MARK_SECONDS: i64 = 48 * 3_600;
/// Digits of a stream record's number, at most (the service's documentation of `StreamRecord`).
const SEQUENCE_DIGITS_MAX: usize = 40;

/// Which row a generation is counted in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TallyKey {
    /// Whose generation it is.
    pub organization: Organization,
    /// The UTC day on which it ended, such as `2026-11-21`.
    pub day: String,
    /// The provider's name.
    pub provider: String,
    /// The model, as it was requested.
    pub model: String,
}

/// What is counted of a generation that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its final status.
    pub status: Status,
    /// From its creation to its end, in milliseconds.
    pub duration_ms: Option<u64>,
    /// From its creation to its first text, in milliseconds; `None`: it had none.
    pub first_text_ms: Option<u64>,
    /// Tokens of all its requests.
    pub input_tokens: u64,
    /// Tokens of all its answers.
    pub output_tokens: u64,
    /// Micro-dollars; `None`: its model has no price.
    pub cost: Option<u64>,
}

/// What generations came to. Sums of parts are the sums of the whole, in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Generations that completed.
    pub completed: u64,
    /// Those that the provider stopped at a limit or a filter.
    pub incomplete: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
    /// Tokens of requests.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Micro-dollars.
    pub cost: u64,
    /// Generations of which it is not known what they cost.
    pub without_cost: u64,
    /// Milliseconds from the creation to the end of those that completed.
    pub duration: Histogram,
    /// Milliseconds from the creation to the first text of those that had text.
    pub first_text: Histogram,
}

/// The number of a stream record: decimal digits, which increase within a shard. Compared as numbers, of whatever length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sequence(String);

/// A record of a shard: everything at or below it is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The record's number.
    pub sequence: Sequence,
    /// When it was written, in epoch seconds.
    pub at: i64,
}

/// A row of statistics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How often it was changed; 0: there is no row yet.
    pub revision: u64,
    /// What was counted.
    #[serde(flatten)]
    pub sums: Sums,
    /// By the name of a shard: its last record that was counted here.
    #[serde(default)]
    pub marks: BTreeMap<String, Mark>,
}

/// The end of a generation, and the record of the stream that tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndRecord {
    /// The record.
    pub mark: Mark,
    /// The end.
    pub ended: Ended,
}

impl Sums {
    /// Counts a generation.
    pub fn add(&mut self, ended: &Ended) {
        let plus = |sum: &mut u64, added: u64| *sum = sum.saturating_add(added);
        match ended.status {
            Status::Completed => plus(&mut self.completed, 1),
            Status::Incomplete => plus(&mut self.incomplete, 1),
            Status::Cancelled => plus(&mut self.cancelled, 1),
            Status::Pending | Status::Running | Status::Failed => plus(&mut self.failed, 1),
        }
        plus(&mut self.input_tokens, ended.input_tokens);
        plus(&mut self.output_tokens, ended.output_tokens);
        plus(&mut self.cost, ended.cost.unwrap_or(0));
        plus(&mut self.without_cost, u64::from(ended.cost.is_none()));
        if let Some(duration) = ended.duration_ms.filter(|_| ended.status == Status::Completed) {
            self.duration.add(duration);
        }
        if let Some(first_text) = ended.first_text_ms {
            self.first_text.add(first_text);
        }
    }

    /// Adds other sums.
    pub fn merge(&mut self, other: &Self) {
        let pairs = [
            (&mut self.completed, other.completed),
            (&mut self.incomplete, other.incomplete),
            (&mut self.failed, other.failed),
            (&mut self.cancelled, other.cancelled),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cost, other.cost),
            (&mut self.without_cost, other.without_cost),
        ];
        for (sum, added) in pairs {
            *sum = sum.saturating_add(added);
        }
        self.duration.merge(&other.duration);
        self.first_text.merge(&other.first_text);
    }

    /// The number of generations.
    #[must_use]
    pub const fn generations(&self) -> u64 {
        self.completed.saturating_add(self.incomplete).saturating_add(self.failed).saturating_add(self.cancelled)
    }
}

impl Tally {
    /// The row with these ends of one shard, those that are above its mark; `None`: all of them are counted.
    ///
    /// Exact where a shard's records come in their order the first time, with all of a row's records of one delivery in one call, and the
    /// result replaces the row only if its revision is still this one. Then what is at or below the mark was counted, and what is above
    /// was not: however deliveries are repeated, divided or cut off.
    #[must_use]
    pub fn count(&self, shard: &str, ends: &[EndRecord]) -> Option<Self> {
        let held = self.marks.get(shard).map(|mark| &mark.sequence);
        let mut new: BTreeMap<&Sequence, &EndRecord> = BTreeMap::new();
        for end in ends.iter().filter(|end| held.is_none_or(|held| end.mark.sequence > *held)) {
            new.insert(&end.mark.sequence, end);
        }
        let (_, last) = new.last_key_value()?;
        let mut next = Self { revision: self.revision + 1, ..self.clone() };
        for end in new.values() {
            next.sums.add(&end.ended);
        }
        next.marks.insert(shard.to_owned(), last.mark.clone());
        let newest = next.marks.values().map(|mark| mark.at).max().unwrap_or_default();
        next.marks.retain(|_, mark| newest.saturating_sub(mark.at) <= MARK_SECONDS);
        Some(next)
    }
}

impl FromStr for Sequence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_number = (1..=SEQUENCE_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let refused = || format!("the number of a stream record is 1 to {SEQUENCE_DIGITS_MAX} digits, not {text:?}");
        if is_number { Ok(Self(text.trim_start_matches('0').to_owned())) } else { Err(refused()) }
    }
}

impl TryFrom<String> for Sequence {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Sequence> for String {
    fn from(sequence: Sequence) -> Self {
        if sequence.0.is_empty() { "0".into() } else { sequence.0 }
    }
}

impl Ord for Sequence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests;
