//! The report of a batch: a table of its items for people.

use std::fmt::Write as _;
use std::str::FromStr;

use super::{BatchStatus, Counts, ItemStatus, ItemView};
use crate::clock::millis_of;
use crate::error::Error;
use crate::quota::{amount, dollars};
use crate::spreadsheet;

/// The form of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReportFormat {
    /// A document for people.
    #[default]
    Markdown,
    /// A table for spreadsheets.
    Csv,
}

impl FromStr for ReportFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "md" => Ok(Self::Markdown),
            "csv" => Ok(Self::Csv),
            _ => Err(Error::invalid("format", "must be `md` or `csv`")),
        }
    }
}

impl ReportFormat {
    /// The media type of the file.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    /// The report of a batch.
    ///
    /// # Errors
    /// [`Error::Internal`]. No such batch is known.
    pub fn render(
        self,
        title: &str,
        status: BatchStatus,
        counts: &Counts,
        cost: u64,
        items: &[ItemView],
    ) -> Result<Vec<u8>, Error> {
        match self {
            Self::Markdown => Ok(markdown(title, status, counts, cost, items).into_bytes()),
            Self::Csv => csv(items),
        }
    }
}

fn markdown(title: &str, status: BatchStatus, counts: &Counts, cost: u64, items: &[ItemView]) -> String {
    let mut text = format!("# {}\n\nStatus: {}. ", cell(title), status.name());
    let of = |status: ItemStatus| counts.with(status);
    let told: Vec<String> = ItemStatus::ALL
        .into_iter()
        .filter(|status| of(*status) > 0)
        .map(|status| format!("{} {}", of(status), status.name()))
        .collect();
    // Writing into a `String` cannot fail.
    let _ = write!(text, "Items: {}, of them {}. Cost: {}.\n\n", counts.total(), told.join(", "), dollars(cost));
    text.push_str("| # | Item | Subject | Status | Tries | Seconds | Tokens | Cost ($) | Error |\n");
    text.push_str("|--:|---|---|---|--:|--:|--:|--:|---|\n");
    for item in items {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            item.index,
            cell(item.custom_id.as_deref().unwrap_or_default()),
            item.subject.as_ref().map(ToString::to_string).unwrap_or_default(),
            item.status.name(),
            item.tries,
            item.seconds(),
            item.usage.total_tokens,
            amount(item.cost),
            cell(&item.why()),
        );
    }
    text
}

/// A text within a cell: on one line, without what Markdown would take for a cell's end or for markup.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' | '\r' | '\t' => cell.push(' '),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' => cell.extend(['\\', char]),
            char if char.is_control() => {}
            char => cell.push(char),
        }
    }
    cell
}

fn csv(items: &[ItemView]) -> Result<Vec<u8>, Error> {
    let head = [
        "index",
        "custom_id",
        "subject",
        "status",
        "tries",
        "started_at",
        "ended_at",
        "seconds",
        "generation",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "error",
    ];
    let rows = items.iter().map(|item| {
        [
            item.index.to_string(),
            item.custom_id.clone().unwrap_or_default(),
            item.subject.as_ref().map(ToString::to_string).unwrap_or_default(),
            item.status.name().to_owned(),
            item.tries.to_string(),
            item.started_at.clone().unwrap_or_default(),
            item.ended_at.clone().unwrap_or_default(),
            item.seconds(),
            item.generation.as_ref().map(ToString::to_string).unwrap_or_default(),
            item.usage.input_tokens.to_string(),
            item.usage.output_tokens.to_string(),
            amount(item.cost),
            item.why(),
        ]
    });
    spreadsheet::csv(head, rows)
}

impl ItemView {
    /// How long its newest try took; empty before its end.
    fn seconds(&self) -> String {
        let [started, ended] = [&self.started_at, &self.ended_at].map(|at| at.as_deref().and_then(millis_of));
        let took = ended.zip(started).map(|(ended, started)| (ended - started).max(0));
        took.map(|ms| format!("{}.{:03}", ms / 1_000, ms % 1_000)).unwrap_or_default()
    }

    fn why(&self) -> String {
        self.error.as_ref().map(|error| format!("{}: {}", error.code, error.message)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::generation::Failure;
    use crate::generation::usage::Usage;

    fn row(custom_id: &str, message: &str) -> ItemView {
        ItemView {
            index: 3,
            custom_id: Some(custom_id.into()),
            subject: Some("evento:3".parse().unwrap()),
            status: ItemStatus::Failed,
            tries: 3,
            started_at: Some("2026-11-21T09:30:00.000Z".into()),
            ended_at: Some("2026-11-21T09:30:12.345Z".into()),
            generation: None,
            usage: Usage { input_tokens: 10, output_tokens: 32, total_tokens: 42, ..Usage::default() },
            cost: 1_230,
            error: Some(Failure { code: "provider_rejected".into(), message: message.into() }),
        }
    }

    #[test]
    fn markdown_is_read_by_people() {
        let counts = Counts { completed: 38, failed: 2, ..Counts::default() };
        let report = ReportFormat::Markdown
            .render("Informe año", BatchStatus::Completed, &counts, 5_001_230, &[row("a|b", "no\nse pudo")])
            .unwrap();
        let expected = "# Informe año\n\nStatus: completed. Items: 40, of them 38 completed, 2 failed. Cost: $5.00123.\n\n\
            | # | Item | Subject | Status | Tries | Seconds | Tokens | Cost ($) | Error |\n\
            |--:|---|---|---|--:|--:|--:|--:|---|\n\
            | 3 | a\\|b | evento:3 | failed | 3 | 12.345 | 42 | 0.00123 | provider\\_rejected: no se pudo |\n";
        assert_eq!(String::from_utf8(report).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn every_item_is_one_row(custom_id in any::<String>(), message in any::<String>()) {
            let items = [row(&custom_id, &message), row("b", "c")];
            let markdown = ReportFormat::Markdown.render("t", BatchStatus::Failed, &Counts::default(), 0, &items).unwrap();
            prop_assert_eq!(String::from_utf8(markdown).unwrap().lines().count(), 8);
            let csv = ReportFormat::Csv.render("t", BatchStatus::Failed, &Counts::default(), 0, &items).unwrap();
            let rows: Vec<_> = csv::Reader::from_reader(&csv[3..]).records().map(Result::unwrap).collect();
            prop_assert_eq!(rows.len(), 2);
            prop_assert_eq!(&rows[0][1], spreadsheet::harmless(&custom_id));
        }
    }
}
