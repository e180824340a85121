//! Reading a document: as text, in its form, and with all that publishing checks.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::check;
use super::document::{Document, Violation};
use super::flatten::flatten;
use super::source::{read_json, read_yaml};
use crate::json::schema::PIPELINE;
use crate::limits::VALIDATION_ERRORS_MAX;

/// A place or a message, in characters.
const TOLD_CHARS_MAX: usize = 400;

impl Document {
    /// Parses a document in YAML or JSON. `parts` finds the pipelines that it uses, by `name` or `name@3`, as they were published.
    ///
    /// # Errors
    /// All violations, the first 50.
    pub fn parse(text: &[u8], parts: impl Fn(&str) -> Option<Self>) -> Result<Self, Vec<Violation>> {
        read_yaml(text).map_err(|violation| vec![violation]).and_then(|value| Self::from_value(&value, parts))
    }

    /// The same for JSON alone, without the weight of a YAML parser.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_json(text: &[u8], parts: impl Fn(&str) -> Option<Self>) -> Result<Self, Vec<Violation>> {
        read_json(text).map_err(|violation| vec![violation]).and_then(|value| Self::from_value(&value, parts))
    }

    /// The same for a document as a value.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_value(value: &Value, parts: impl Fn(&str) -> Option<Self>) -> Result<Self, Vec<Violation>> {
        read(value, &parts)
    }
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TOLD_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
}

fn read(value: &Value, parts: &dyn Fn(&str) -> Option<Document>) -> Result<Document, Vec<Violation>> {
    let mut violations: Vec<Violation> = PIPELINE.errors(value).into_iter().map(Violation::from).collect();
    let flat = flatten(value, parts, &mut violations);
    check(&flat, &mut violations);
    let mut seen = BTreeSet::new();
    violations.retain(|violation| seen.insert(violation.clone()));
    // A document may have as many as it has letters, and its names may be as long as it.
    violations.truncate(VALIDATION_ERRORS_MAX);
    for violation in &mut violations {
        cut(&mut violation.path);
        cut(&mut violation.message);
    }
    if violations.is_empty() { Ok(flat.document) } else { Err(violations) }
}
