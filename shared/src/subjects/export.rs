//! All versions of a subject in one file: JSON, JSON lines, Markdown or CSV.

use std::fmt::Write;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::version::VersionView;
use crate::error::Error;
use crate::ids::SubjectId;
use crate::spreadsheet;

/// The form of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// One object with a list.
    #[default]
    Json,
    /// One line for each version.
    Ndjson,
    /// A document for people.
    Markdown,
    /// A table for spreadsheets.
    Csv,
}

/// A version with its text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WithText {
    /// The version.
    #[serde(flatten)]
    pub view: VersionView,
    /// Its text.
    pub text: String,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "json" => Ok(Self::Json),
            "ndjson" => Ok(Self::Ndjson),
            "md" => Ok(Self::Markdown),
            "csv" => Ok(Self::Csv),
            _ => Err(Error::invalid("format", "must be `json`, `ndjson`, `md` or `csv`")),
        }
    }
}

impl Format {
    /// The media type of the file.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    /// The ending of the file's name.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Markdown => "md",
            Self::Csv => "csv",
        }
    }

    /// The file of these versions.
    ///
    /// # Errors
    /// [`Error::Internal`]: it cannot be written.
    pub fn render(self, subject: &SubjectId, versions: &[WithText]) -> Result<Vec<u8>, Error> {
        let failed = |error: serde_json::Error| Error::Internal(error.to_string());
        match self {
            Self::Json => {
                let whole = serde_json::json!({ "object": "export", "subject": subject, "versions": versions });
                serde_json::to_vec(&whole).map_err(failed)
            }
            Self::Ndjson => {
                let mut lines = Vec::new();
                for version in versions {
                    serde_json::to_writer(&mut lines, version).map_err(failed)?;
                    lines.push(b'\n');
                }
                Ok(lines)
            }
            Self::Markdown => Ok(markdown(subject, versions).into_bytes()),
            Self::Csv => csv(versions),
        }
    }
}

fn markdown(subject: &SubjectId, versions: &[WithText]) -> String {
    let mut text = format!("# {subject}\n");
    for WithText { view, text: own } in versions {
        let version = &view.version;
        let word = serde_json::to_value(version.change_type).ok().and_then(|word| word.as_str().map(str::to_owned));
        let model = version.model.as_deref().map(|model| format!(", {model}")).unwrap_or_default();
        // Writing into a `String` cannot fail.
        let _ = write!(text, "\n## Version {}\n\n{}, {}{model}\n", version.number, version.created_at, word.unwrap_or_default());
        if let Some(reason) = &version.reason {
            let _ = write!(text, "\n> {}\n", reason.replace('\n', "\n> "));
        }
        let fence = fence(own);
        let _ = write!(text, "\n{fence}\n{own}\n{fence}\n");
    }
    text
}

/// Backticks that are in no line of the text.
fn fence(text: &str) -> String {
    let longest = text.split(|char| char != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(3.max(longest + 1))
}

fn csv(versions: &[WithText]) -> Result<Vec<u8>, Error> {
    let head = [
        "number",
        "change_type",
        "created_at",
        "created_by",
        "reason",
        "labels",
        "provider",
        "model",
        "temperature",
        "duration_ms",
        "input_tokens",
        "output_tokens",
        "cost",
        "bytes",
        "sha256",
        "text",
    ];
    let rows = versions.iter().map(|WithText { view, text }| {
        let version = &view.version;
        let word = serde_json::to_value(version.change_type).unwrap_or_default();
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let tokens = version.usage.map(|usage| usage.total);
        [
            version.number.to_string(),
            word.as_str().unwrap_or_default().to_owned(),
            version.created_at.clone(),
            version.created_by.clone().unwrap_or_default(),
            version.reason.clone().unwrap_or_default(),
            view.labels.iter().cloned().collect::<Vec<_>>().join(" "),
            version.provider.clone().unwrap_or_default(),
            version.model.clone().unwrap_or_default(),
            version.temperature.map(|degrees| degrees.to_string()).unwrap_or_default(),
            number(version.duration_ms),
            number(tokens.map(|tokens| tokens.input_tokens)),
            number(tokens.map(|tokens| tokens.output_tokens)),
            number(version.cost),
            version.bytes.to_string(),
            version.sha256.clone(),
            text.clone(),
        ]
    });
    spreadsheet::csv(head, rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::version::Version;
    use super::*;
    use crate::spreadsheet::{BYTE_ORDER_MARK, FORMULA, harmless};

    fn version(number: u64, reason: &str, text: &str) -> WithText {
        let made = Version::by_hand("5e".into(), text.len() as u64, Some(reason.into()), None, "2026-11-21T09:30:00.000Z".into());
        let view = VersionView {
            object: "version",
            subject: "s".parse().unwrap(),
            labels: ["-x".to_owned()].into(),
            is_current: true,
            version: Version { number, ..made },
        };
        WithText { view, text: text.to_owned() }
    }

    proptest! {
        #[test]
        fn every_cell_comes_back_and_none_is_a_formula(
            texts in prop::collection::vec("[=+@\t-]?[a-zñ\",\r\n=']{0,12}", 1..6), reason in "[=+@-]?.{0,10}"
        ) {
            let versions: Vec<WithText> = (1..).zip(&texts).map(|(number, text)| version(number, &reason, text)).collect();
            let file = Format::Csv.render(&"s".parse().unwrap(), &versions).unwrap();
            let table = file.strip_prefix(BYTE_ORDER_MARK).unwrap();
            let mut read = csv::Reader::from_reader(table);
            let rows: Vec<csv::StringRecord> = read.records().map(Result::unwrap).collect();
            prop_assert_eq!(rows.len(), texts.len());
            for (row, text) in rows.iter().zip(&texts) {
                prop_assert!(row.iter().all(|cell| !cell.starts_with(FORMULA)), "{:?}", row);
                let cell = row.iter().next_back().unwrap();
                prop_assert_eq!(cell, harmless(text));
            }
        }

        #[test]
        fn markdown_cannot_be_left_by_a_text(text in "[`a\n]{0,30}") {
            let file = markdown(&"s".parse().unwrap(), &[version(1, "why", &text)]);
            let fence = fence(&text);
            prop_assert!(!text.contains(&fence));
            let fenced = format!("\n{fence}\n{text}\n{fence}\n");
            prop_assert!(file.contains(&fenced));
        }
    }

    #[test]
    fn lines_and_list_have_the_same_versions() {
        let versions = [version(1, "a", "uno\n"), version(2, "b", "dos")];
        let subject = "s".parse().unwrap();
        let whole: serde_json::Value = serde_json::from_slice(&Format::Json.render(&subject, &versions).unwrap()).unwrap();
        let lines = String::from_utf8(Format::Ndjson.render(&subject, &versions).unwrap()).unwrap();
        let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(whole["versions"], serde_json::Value::Array(lines));
        assert_eq!(whole["versions"][1]["text"], "dos");
    }
}
