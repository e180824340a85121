//! Checks the output against the request's schema while it arrives.

use crate::generation::request::{Expected, OnSchemaViolation, Request};
use crate::json::partial::Checker;
use crate::limits::VIOLATION_BYTES_MAX;
use crate::log::event::Event;
use crate::providers::Delta;

/// For a request without a schema, it finds nothing.
pub(super) struct SchemaWatch {
    checker: Option<Checker>,
    stops: bool,
    is_reported: bool,
}

/// A violation that was found.
pub(super) struct Violated {
    /// For the log, which holds one at most.
    pub event: Option<Event>,
    /// The message of the generation's end, if the request says to stop.
    pub stops_with: Option<String>,
}

impl SchemaWatch {
    /// `is_reported`: the log has a violation already.
    pub fn new(request: &Request, is_reported: bool) -> Self {
        let checker = match request.expected() {
            Expected::Schema(schema) => Some(Checker::new(&schema)),
            Expected::Text | Expected::Json => None,
        };
        Self { checker, stops: request.on_schema_violation == Some(OnSchemaViolation::Stop), is_reported }
    }

    /// Whether the request has a schema.
    pub const fn is_active(&self) -> bool {
        self.checker.is_some()
    }

    /// Checks nothing more: the whole output is checked when it is compacted.
    pub fn suspend(&mut self) {
        self.checker = None;
    }

    /// Begins an attempt whose text continues `prefix`; empty for one that begins again.
    pub fn restart(&mut self, prefix: &str) -> Option<Violated> {
        self.checker.as_mut()?.restart();
        self.feed(prefix)
    }

    /// Checks the next delta.
    pub fn check(&mut self, delta: &Delta) -> Option<Violated> {
        if let Delta::Text(text) = delta { self.feed(text) } else { None }
    }

    fn feed(&mut self, text: &str) -> Option<Violated> {
        let violation = self.checker.as_mut()?.feed(text)?;
        let (path, message) = (shortened(violation.path), shortened(violation.message));
        let place = if path.is_empty() { "at its root" } else { path.as_str() };
        let stops_with = self.stops.then(|| format!("the output breaks its schema: {place} {message}"));
        let is_new = !std::mem::replace(&mut self.is_reported, true);
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
