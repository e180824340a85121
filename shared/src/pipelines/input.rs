//! The input of a run: its defaults filled in, and checked, with all errors in words that people understand.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::{Document, Part, is_within};
use super::path;
use crate::error::InputError;
use crate::json::json_bytes;
use crate::json::schema::{Failure, Schema};
use crate::limits::VALIDATION_ERRORS_MAX;

/// How deeply defaults are filled in. A schema may refer to itself.
const DEPTH_MAX: usize = 32;
/// The defaults of one input together. Those that refer to each other double with each level.
const DEFAULTS_BYTES_MAX: u64 = 1024 * 1024;

/// All errors of an input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputErrors {
    /// The first ones, at most 50.
    pub errors: Vec<InputError>,
    /// How many more there are.
    pub more: usize,
}

impl Document {
    /// The input with its defaults, of which those of the parts are filled in where they are used.
    ///
    /// # Errors
    /// All errors of the input, by the document's schema and by those of its parts where they are given what the input has.
    pub fn check_input(&self, mut input: Value) -> Result<Value, InputErrors> {
        fill_defaults(&self.input, &mut input);
        let mut found: Vec<InputError> = Vec::new();
        let mut more = 0;
        let mut checked = |schema: &Value, value: &Value, rename: &dyn Fn(&str) -> Option<String>| {
            // A schema that does not compile is refused where the document is published.
            let Ok(compiled) = Schema::compile(schema) else { return };
            for failure in compiled.failures(value) {
                let Some(pointer) = rename(&failure.error.pointer) else { continue };
                // Parts often ask for what the document asks for.
                if found.iter().any(|known| known.pointer == pointer) {
                    continue;
                }
                if found.len() < VALIDATION_ERRORS_MAX {
                    found.push(told(schema, pointer, &failure));
                } else {
                    more += 1;
                }
            }
        };
        checked(&self.input, &input, &|pointer| Some(pointer.to_owned()));
        for (name, part) in &self.parts {
            let given = self.given(name, part, &input);
            let schema = without_required(&part.input, &given);
            let bound: Map<String, Value> = given.iter().map(|(name, _, value)| (name.clone(), value.clone())).collect();
            let mut bound = Value::Object(bound);
            fill_defaults(&schema, &mut bound);
            checked(&schema, &bound, &|pointer| {
                let (name, rest) = split_first(pointer)?;
                let (_, outer, _) = given.iter().find(|(bound, ..)| *bound == name)?;
                Some(format!("{outer}{rest}"))
            });
        }
        if found.is_empty() { Ok(input) } else { Err(InputErrors { errors: found, more }) }
    }

    /// What a part is given of the input itself: the name, the pointer into the input, and the value.
    fn given(&self, name: &str, part: &Part, input: &Value) -> Vec<(String, String, Value)> {
        let given = |(own, path): (&String, &String)| {
            let pointer = self.pointer_of(part.of.as_deref(), path)?;
            let value = input.pointer(&pointer)?.clone();
            Some((own.clone(), pointer, value))
        };
        debug_assert!(is_within(Some(name), part.of.as_deref()));
        part.with.iter().filter_map(given).collect()
    }

    /// Where in the run's input a path of a scope leads. `None`: not into the input.
    fn pointer_of(&self, scope: Option<&str>, path: &str) -> Option<String> {
        let segments = path::segments(path)?;
        let ["input", rest @ ..] = segments.as_slice() else { return None };
        let mut pointer = String::new();
        let below = match scope.and_then(|scope| self.parts.get(scope)) {
            None => rest,
            Some(part) => {
                let (name, below) = rest.split_first()?;
                pointer = self.pointer_of(part.of.as_deref(), part.with.get(*name)?)?;
                below
            }
        };
        for segment in below {
            pointer.push('/');
            pointer.push_str(segment);
        }
        Some(pointer)
    }
}

/// A part's schema for what it is given of the input; the rest comes from steps, or is not there.
fn without_required(schema: &Value, given: &[(String, String, Value)]) -> Value {
    let mut schema = schema.clone();
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| given.iter().any(|(bound, ..)| name == bound));
    }
    schema
}

fn split_first(pointer: &str) -> Option<(String, &str)> {
    let rest = pointer.strip_prefix('/')?;
    let end = rest.find('/').unwrap_or(rest.len());
    Some((rest[..end].replace("~1", "/").replace("~0", "~"), &rest[end..]))
}

/// Fills in the `default` of what is absent from an object, as `properties` say it, and within what is there. Through references within the
/// schema, but not into lists, nor by conditions.
/// At most so many bytes that no prompt could show more.
pub(super) fn fill_defaults(schema: &Value, value: &mut Value) {
    fill(schema, schema, value, 0, &mut { DEFAULTS_BYTES_MAX });
}

fn fill(root: &Value, schema: &Value, value: &mut Value, depth: usize, bytes_left: &mut u64) {
    let schema = referred(root, schema);
    let (Some(properties), Value::Object(fields)) = (schema.get("properties").and_then(Value::as_object), value) else { return };
    if depth > DEPTH_MAX {
        return;
    }
    for (name, property) in properties {
        if !fields.contains_key(name)
            && let Some(default) = referred(root, property).get("default")
            && let Some(left) = bytes_left.checked_sub(json_bytes(default) + name.len() as u64)
        {
            *bytes_left = left;
            fields.insert(name.clone(), default.clone());
        }
        if let Some(value) = fields.get_mut(name) {
            fill(root, property, value, depth + 1, bytes_left);
        }
    }
}

/// What a reference within the schema refers to.
pub(super) fn referred<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEPTH_MAX {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#')) else { break };
        let Some(next) = root.pointer(reference) else { break };
        schema = next;
    }
    schema
}

fn told(schema: &Value, pointer: String, failure: &Failure) -> InputError {
    let path = path::readable(&pointer);
    let node = node_of(schema, failure);
    let text = |keyword: &str| node.and_then(|node| node.get(keyword)).and_then(Value::as_str);
    let last = path.rsplit('.').next().filter(|last| !last.is_empty());
    let label =
        text("title").map_or_else(|| last.map_or_else(|| "the input".to_owned(), |last| format!("`{last}`")), str::to_owned);
    let description = text("description");
    let message = match failure.keyword.as_str() {
        "required" => format!("missing: {label}"),
        "pattern" | "format" if description.is_some() => format!("{label}: not in the expected form"),
        _ => format!("{label} {}", failure.error.detail),
    };
    let expected = description.map_or_else(|| words_of(node, failure), str::to_owned);
    InputError { path, pointer, message, expected }
}

/// The schema of the value that an error is about.
fn node_of<'a>(schema: &'a Value, failure: &Failure) -> Option<&'a Value> {
    let (around, _) = failure.schema_pointer.rsplit_once('/')?;
    let node = schema.pointer(around)?;
    if failure.keyword != "required" {
        return Some(node);
    }
    let name = failure.error.pointer.rsplit('/').next()?.replace("~1", "/").replace("~0", "~");
    let property = node.get("properties")?.get(&name)?;
    Some(if property.get("description").is_some() { property } else { referred(schema, property) })
}

/// What a schema without a description expects.
fn words_of(node: Option<&Value>, failure: &Failure) -> String {
    let detail = failure.error.detail.as_str();
    if failure.keyword != "required" {
        return detail.strip_prefix("must be ").or_else(|| detail.strip_prefix("must ")).unwrap_or(detail).to_owned();
    }
    let Some(node) = node else { return "a value".into() };
    if let Some(options) = node.get("enum").and_then(Value::as_array) {
        let options: Vec<String> = options.iter().map(Value::to_string).collect();
        return format!("one of {}", options.join(", "));
    }
    if let Some(format) = node.get("format").and_then(Value::as_str) {
        return format!("a {format} string");
    }
    let kinds: Vec<&str> = match node.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<BTreeSet<_>>().into_iter().collect(),
        _ => return "a value".into(),
    };
    let words = crate::json::schema::must_be(&kinds);
    words.strip_prefix("must be ").unwrap_or(&words).to_owned()
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
