//! Reads the tables of the documents.

/// The rows of the tables of one chapter, as cells, without heads and rulers.
#[must_use]
pub fn rows<'a>(document: &'a str, chapter: &str) -> Vec<Vec<&'a str>> {
    let (_, rest) =
        document.split_once(&format!("\n## {chapter}\n")).unwrap_or_else(|| panic!("there is no chapter {chapter:?}"));
    let lines = rest.split("\n## ").next().unwrap_or_default().lines().filter(|line| line.starts_with("| `"));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The words between backticks.
pub fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}
