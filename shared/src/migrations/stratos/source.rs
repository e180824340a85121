//! A row of `scenario_generations` with its rows of `generation_chunks`, as they are.

use crate::hash::sha256_hex;
use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// A value of SQLite. Its text is bytes: PHP cuts strings where it likes.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Cell {
    /// No value.
    #[default]
    Null,
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// Text.
    Text(Vec<u8>),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Cell {
    /// The bytes of text or of a blob.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(bytes) | Self::Blob(bytes) => Some(bytes),
            Self::Null | Self::Integer(_) | Self::Real(_) => None,
        }
    }

    /// Its text, if it is text in UTF-8; numbers are text too.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) | Self::Blob(bytes) => String::from_utf8(bytes.clone()).ok(),
            Self::Integer(number) => Some(number.to_string()),
            Self::Real(number) => Some(number.to_string()),
            Self::Null => None,
        }
    }

    /// The bytes of text or of a blob; of a number, as SQLite writes it.
    #[must_use]
    pub fn written(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(bytes) | Self::Blob(bytes) => Cow::Borrowed(bytes),
            Self::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            // With a point, as there: `1.0`.
            Self::Real(number) => Cow::Owned(format!("{number:?}").into_bytes()),
            Self::Null => Cow::Borrowed(&[]),
        }
    }

    /// Whether it is a number: SQLite has taken away zeros of what was written, where there were any.
    #[must_use]
    pub const fn is_number(&self) -> bool {
        matches!(self, Self::Integer(_) | Self::Real(_))
    }

    /// Its whole number, also where it is text.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            other => other.text()?.trim().parse().ok(),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Real(number) => serializer.serialize_f64(*number),
            Self::Text(bytes) if std::str::from_utf8(bytes).is_ok() => {
                serializer.serialize_str(std::str::from_utf8(bytes).unwrap_or_default())
            }
            Self::Text(bytes) | Self::Blob(bytes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &BASE64_STANDARD.encode(bytes))?;
                map.end()
            }
        }
    }
}

/// The columns of a row by their names.
pub type Columns = BTreeMap<String, Cell>;

/// A generation of the field's database.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SourceGeneration {
    /// Its row.
    pub columns: Columns,
    /// Its chunk rows, by their sequence.
    pub chunks: Vec<Columns>,
}

impl SourceGeneration {
    /// Its id; 0 where the row has none.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.integer("id").unwrap_or_default()
    }

    /// A column; [`Cell::Null`] where there is none.
    #[must_use]
    pub fn cell(&self, name: &str) -> &Cell {
        self.columns.get(name).unwrap_or(&Cell::Null)
    }

    /// A column's text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.cell(name).text().filter(|text| !text.is_empty())
    }

    /// A column's number.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.cell(name).integer()
    }

    /// The `metadata` column, if it is a JSON object.
    #[must_use]
    pub fn metadata(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(self.cell("metadata").bytes()?).ok()
    }

    /// The text of the chunk rows in their order; `None`: there are none.
    #[must_use]
    pub fn chunk_texts(&self) -> Option<Vec<Cow<'_, [u8]>>> {
        let texts = self.chunks.iter().map(|chunk| chunk.get("chunk").map(Cell::written).unwrap_or_default());
        Some(texts.collect::<Vec<_>>()).filter(|texts| !texts.is_empty())
    }

    /// The SHA-256 of all of it, in hex. Another state of the row has another one.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256_hex(serde_json::to_vec(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_written_as_one_that_reads_back(whole in any::<i64>(), real in any::<f64>().prop_filter("a number", |real| real.is_finite())) {
            let written = |cell: Cell| String::from_utf8(cell.written().into_owned()).unwrap();
            prop_assert_eq!(written(Cell::Integer(whole)).parse::<i64>().unwrap(), whole);
            let text = written(Cell::Real(real));
            prop_assert!(text.contains(['.', 'e']), "{}", text);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), real.to_bits());
        }
    }

    #[test]
    fn chunk_rows_of_every_type_are_text() {
        let cells = [
            Cell::Text(b"{\"score\": ".to_vec()),
            Cell::Integer(0),
            Cell::Blob(b".".to_vec()),
            Cell::Integer(10),
            Cell::Real(2.0),
            Cell::Null,
        ];
        let chunks = cells.into_iter().map(|cell| Columns::from([("chunk".to_owned(), cell)])).collect();
        let source = SourceGeneration { columns: Columns::new(), chunks };
        assert_eq!(source.chunk_texts().unwrap().concat(), b"{\"score\": 0.102.0");
        assert_eq!(SourceGeneration::default().chunk_texts(), None);
    }
}
