//! The writer's eye on the request's schema: the output is held against it as it comes.

use crate::generation::request::{Expected, OnSchemaViolation, Request};
use crate::json::partial::Checker;
use crate::limits::VIOLATION_BYTES_MAX;
use crate::log::event::Event;
use crate::providers::Delta;

/// Nothing, for a request without a schema.
pub(super) struct SchemaWatch {
    checker: Option<Checker>,
    stops: bool,
    is_told: bool,
}

/// What follows from a violation.
pub(super) struct Violated {
    /// For the log; one generation has one.
    pub event: Option<Event>,
    /// The generation ends, with this sentence.
    pub stops_with: Option<String>,
}

impl SchemaWatch {
    /// `is_told`: an earlier attempt has told of one.
    pub fn new(request: &Request, is_told: bool) -> Self {
        let checker = match request.expected() {
            Expected::Schema(schema) => Some(Checker::new(&schema)),
            Expected::Text | Expected::Json => None,
        };
        Self { checker, stops: request.on_schema_violation == Some(OnSchemaViolation::Stop), is_told }
    }

    /// An attempt begins, from `prefix` on: empty where its text is another.
    pub fn restart(&mut self, prefix: &str) -> Option<Violated> {
        self.checker.as_mut()?.restart();
        self.feed(prefix)
    }

    /// Looks at what has come.
    pub fn look(&mut self, delta: &Delta) -> Option<Violated> {
        if let Delta::Text(text) = delta { self.feed(text) } else { None }
    }

    fn feed(&mut self, text: &str) -> Option<Violated> {
        let violation = self.checker.as_mut()?.feed(text)?;
        let (path, message) = (shortened(violation.path), shortened(violation.message));
        let place = if path.is_empty() { "at its root" } else { path.as_str() };
        let stops_with = self.stops.then(|| format!("the output breaks its schema: {place} {message}"));
        let is_new = !std::mem::replace(&mut self.is_told, true);
        Some(Violated { event: is_new.then_some(Event::SchemaViolation { path, message }), stops_with })
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > VIOLATION_BYTES_MAX {
        text.truncate(text.floor_char_boundary(VIOLATION_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}
