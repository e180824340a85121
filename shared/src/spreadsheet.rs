//! Tables as CSV that spreadsheets open as they are meant (RFC 4180): Excel with its accents, and no cell as a formula.

use crate::error::Error;

/// U+FEFF in UTF-8, by which Excel knows that a CSV is UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Characters with which a spreadsheet takes the beginning of a cell for a formula (OWASP, "CSV Injection").
pub const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A table, with its head.
///
/// # Errors
/// [`Error::Internal`]. No such table is known.
pub fn csv<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Result<Vec<u8>, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(BYTE_ORDER_MARK.to_vec());
    writer.write_record(head).map_err(|error| failed(&error))?;
    for row in rows {
        writer.write_record(row.map(|cell| harmless(&cell))).map_err(|error| failed(&error))?;
    }
    writer.into_inner().map_err(|error| failed(&error))
}

/// A cell that no spreadsheet takes for a formula: an apostrophe stands before what would begin one.
#[must_use]
pub fn harmless(cell: &str) -> String {
    if cell.starts_with(FORMULA) { format!("'{cell}") } else { cell.to_owned() }
}
