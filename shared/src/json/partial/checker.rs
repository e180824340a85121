//! Holds JSON that is being written against a schema, and finds the first thing in it that no continuation can mend.
//!
//! One pass, whatever the pieces: the work is that of reading the text once. A name that comes twice in one object is not taken
//! for a correction of the first.

use std::collections::HashSet;

use serde_json::Value;

use super::finder::Finder;
use super::rules::{RuleId, Rules};
use super::scanner::{Kind, Visitor};
use crate::json::schema;
use crate::limits;

/// What no continuation can mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// A JSON Pointer (RFC 6901) into the result's JSON.
    pub path: String,
    /// What was expected there, in one sentence.
    pub message: String,
}

/// The check of one text.
#[derive(Debug)]
pub struct Checker {
    finder: Finder,
    held: Held,
    bytes: usize,
    is_told: bool,
}

/// What the value so far is held against.
#[derive(Debug)]
struct Held {
    rules: Rules,
    open: Vec<Open>,
    /// The rules of the value that began last.
    value: Vec<RuleId>,
    violation: Option<Violation>,
}

/// An array or object that is open.
#[derive(Debug)]
struct Open {
    rules: Vec<RuleId>,
    is_object: bool,
    /// Elements that have begun.
    count: u64,
    /// The newest name.
    name: String,
    /// The names so far, where some are required.
    seen: Option<HashSet<String>>,
}

impl Checker {
    /// Against a schema that compiles.
    #[must_use]
    pub fn new(schema: &Value) -> Self {
        let held = Held { rules: Rules::new(schema), open: Vec::new(), value: Vec::new(), violation: None };
        Self { finder: Finder::default(), held, bytes: 0, is_told: false }
    }

    /// Begins with another text.
    pub fn restart(&mut self) {
        (self.finder, self.bytes, self.is_told) = (Finder::default(), 0, false);
        self.held.restart();
    }

    /// Reads on. A violation is told once. Text beyond what is checked as JSON at all is not looked at.
    pub fn feed(&mut self, text: &str) -> Option<Violation> {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.is_told || self.bytes > limits::JSON_BYTES_MAX || self.finder.is_over() {
            return None;
        }
        self.finder.feed(text.as_bytes(), &mut self.held);
        if !self.finder.is_settled() {
            return None;
        }
        let violation = self.held.violation.take();
        self.is_told = violation.is_some();
        violation
    }
}

impl Held {
    fn violate(&mut self, message: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { path: self.path(self.open.len()), message });
        }
    }

    /// The pointer to the newest value of the container at this depth.
    fn path(&self, depth: usize) -> String {
        self.open[..depth].iter().fold(String::new(), |at, open| {
            if open.is_object { schema::child(&at, &open.name) } else { format!("{at}/{}", open.count.saturating_sub(1)) }
        })
    }

    /// The rules that the schema has for the next value, before its kind is known.
    fn rules_of_next(&mut self) -> Vec<RuleId> {
        let Some(open) = self.open.last_mut() else { return vec![0] };
        open.count += 1;
        let (count, is_object, name) = (open.count, open.is_object, &open.name);
        let rules = open.rules.iter().map(|id| self.rules.get(*id));
        if is_object {
            return rules.filter_map(|rule| rule.property(name)).collect();
        }
        let full = rules.clone().filter_map(|rule| rule.items_max).find(|most| count > *most);
        let next = rules.filter_map(|rule| rule.items).collect();
        if let Some(most) = full
            && self.violation.is_none()
        {
            let path = self.path(self.open.len() - 1);
            self.violation = Some(Violation { path, message: format!("must have at most {most} items") });
        }
        next
    }
}

impl Visitor for Held {
    fn restart(&mut self) {
        self.open.clear();
        self.value.clear();
        self.violation = None;
    }

    fn begin(&mut self, kind: Kind) {
        let mut held = Vec::new();
        for id in self.rules_of_next() {
            if let Err(message) = self.rules.begin(id, kind, &mut held) {
                self.violate(message);
            }
        }
        if matches!(kind, Kind::Array | Kind::Object) {
            let is_object = kind == Kind::Object;
            let has_required = is_object && held.iter().any(|id| !self.rules.get(*id).required.is_empty());
            let seen = has_required.then(HashSet::new);
            self.open.push(Open { rules: held, is_object, count: 0, name: String::new(), seen });
        } else {
            self.value = held;
        }
    }

    fn name(&mut self, raw: &[u8]) {
        let Ok(name) = serde_json::from_slice::<String>(raw) else { return };
        let Some(open) = self.open.last_mut() else { return };
        if let Some(seen) = &mut open.seen {
            seen.insert(name.clone());
        }
        open.name.clone_from(&name);
        if open.rules.iter().any(|id| self.rules.get(*id).refuses(&name)) {
            self.violate("is not a known field".into());
        }
    }

    fn grew(&mut self, chars: u64) {
        let most = self.value.iter().filter_map(|id| self.rules.get(*id).length_max).min();
        if let Some(most) = most.filter(|most| chars > *most) {
            self.violate(format!("must have at most {most} characters"));
        }
    }

    fn scalar(&mut self, raw: &[u8]) {
        let mut rules = std::mem::take(&mut self.value);
        rules.retain(|id| self.rules.get(*id).judges_scalars());
        if rules.is_empty() {
            return;
        }
        // A number that no machine number holds is left to the end.
        let Ok(value) = serde_json::from_slice::<Value>(raw) else { return };
        if let Some(problem) = rules.iter().find_map(|id| self.rules.get(*id).scalar_problem(&value)) {
            self.violate(problem);
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let rules = || open.rules.iter().map(|id| self.rules.get(*id));
        if let Some(seen) = &open.seen {
            let missing = rules().flat_map(|rule| &rule.required).find(|name| !seen.contains(*name));
            if let Some(name) = missing
                && self.violation.is_none()
            {
                let path = schema::child(&self.path(self.open.len()), name);
                self.violation = Some(Violation { path, message: "is required".into() });
            }
        }
        let few = rules().filter_map(|rule| rule.items_min).find(|least| !open.is_object && open.count < *least);
        if let Some(least) = few {
            self.violate(format!("must have at least {least} items"));
        }
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
