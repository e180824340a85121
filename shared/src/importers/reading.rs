//! Reading an answer by an importer: the entities that it has, and what is wrong with it. Both come from one walk, so that what is imported
//! without validation is what validation has found good.
//!
//! The messages and paths are those of the field's validator: `capabilities[0].competencies[1].name`, `Name is required`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::document::{Collection, Header, Importer, NAME};
use crate::error::Issue;
use crate::ids::{EntityId, SubjectKey};
use crate::json::{json_bytes, text};
use crate::limits::{ENTITY_FIELDS_BYTES_MAX, ENTITY_LLM_ID_CHARS_MAX, ENTITY_NAME_CHARS_MAX};

/// An item of an answer that becomes an entity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// The entity's id: the same of the same subject, kind, parent, and own id or name, whatever the name's case.
    pub id: EntityId,
    /// The collection that it is of.
    pub collection: String,
    /// The kind of entity.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The id that the model gave it.
    pub llm_id: Option<String>,
    /// The entity that it belongs to.
    pub parent: Option<EntityId>,
    /// Where it is in the answer.
    pub path: String,
    /// Its other fields.
    pub fields: Map<String, Value>,
}

/// What an importer has read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Items in the order of the answer, each behind its parent. Two may have one id.
    pub items: Vec<Item>,
    /// What is wrong.
    pub issues: Vec<Issue>,
    /// The names of the items, by their ids.
    names: BTreeMap<EntityId, String>,
}

/// The answer in a generation's text: its JSON, bare or in one Markdown fence, and without what wraps it.
///
/// # Errors
/// Why there is none.
pub fn answer_of(importer: &Importer, output: &str) -> Result<Value, String> {
    let not_json = || "the output has no JSON, bare or in one Markdown fence".to_owned();
    let json = text::find(output).ok_or_else(not_json)?;
    let value: Value = serde_json::from_str(json.get()).map_err(|error| format!("the output cannot be read: {error}"))?;
    unwrapped(importer, value)
}

fn unwrapped(importer: &Importer, value: Value) -> Result<Value, String> {
    let Value::Object(fields) = &value else { return Err("the output must be a JSON object".to_owned()) };
    let has_own = importer.collections.iter().flat_map(Collection::keys).any(|key| fields.contains_key(key));
    if has_own {
        return Ok(value);
    }
    for key in &importer.content {
        match fields.get(key) {
            Some(Value::Object(inner)) => return Ok(Value::Object(inner.clone())),
            Some(Value::String(inner)) => {
                if let Some(json) = text::find(inner)
                    && let Ok(inner @ Value::Object(_)) = serde_json::from_str(json.get())
                {
                    return Ok(inner);
                }
            }
            _ => {}
        }
    }
    Ok(value)
}

/// Reads an answer for a subject.
#[must_use]
pub fn read(importer: &Importer, subject: &SubjectKey, answer: &Value) -> Reading {
    let mut reading = Reading::default();
    let Value::Object(fields) = answer else {
        reading.issues.push(Issue::new("", "Must be an object"));
        return reading;
    };
    if let Some(header) = &importer.header {
        read_header(header, fields, &mut reading.issues);
    }
    for collection in &importer.collections {
        read_list(collection, subject, fields, "", None, &mut reading);
    }
    reading
}

fn read_header(header: &Header, fields: &Map<String, Value>, issues: &mut Vec<Issue>) {
    let first = header.from.first().map(String::as_str).unwrap_or_default();
    let Some((key, value)) = find(fields, header.from.iter().map(String::as_str)) else {
        issues.push(Issue::new(first, "Missing or invalid object"));
        return;
    };
    let Value::Object(inner) = value else {
        issues.push(Issue::new(key, "Missing or invalid object"));
        return;
    };
    for (name, keys) in &header.required {
        if name_in(inner, keys.iter().map(String::as_str)).is_none() {
            issues.push(Issue::new(format!("{key}.{name}"), required(name)));
        }
    }
}

/// `Name is required`.
fn required(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{} is required", letters.as_str().replace('_', " "))
}

fn read_list(
    collection: &Collection,
    subject: &SubjectKey,
    fields: &Map<String, Value>,
    at: &str,
    parent: Option<&EntityId>,
    reading: &mut Reading,
) {
    let Some((key, value)) = find(fields, collection.keys()) else { return };
    let path = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    let Value::Array(items) = value else {
        reading.issues.push(Issue::new(path, "Must be an array"));
        return;
    };
    if items.is_empty() && collection.min == 1 {
        let told = format!("At least one {} is required in strict mode", collection.kind);
        reading.issues.push(Issue::new(&*path, told));
    } else if items.len() < collection.min {
        let told = format!("At least {} {} are required in strict mode", collection.min, collection.name);
        reading.issues.push(Issue::new(&*path, told));
    }
    if let Some(max) = collection.max.filter(|max| items.len() > *max) {
        reading.issues.push(Issue::new(&*path, format!("Too many {} (max {max})", collection.name)));
    }
    for (place, item) in items.iter().enumerate() {
        read_item(collection, subject, item, format!("{path}[{place}]"), parent, reading);
    }
}

fn read_item(
    collection: &Collection,
    subject: &SubjectKey,
    value: &Value,
    path: String,
    parent: Option<&EntityId>,
    reading: &mut Reading,
) {
    let fields = match value {
        Value::String(name) if collection.text_as_name => {
            match named(name) {
                Some(name) => reading.push(collection, subject, (name, None), Map::new(), path, parent),
                None => reading.issues.push(Issue::new(path, required(NAME))),
            }
            return;
        }
        Value::Object(fields) => fields,
        _ => {
            let told = if collection.text_as_name { "Must be an object or string" } else { "Must be an object" };
            reading.issues.push(Issue::new(path, told));
            return;
        }
    };
    let name = name_in(fields, collection.name_keys());
    if name.is_none() {
        reading.issues.push(Issue::new(format!("{path}.{NAME}"), required(NAME)));
    }
    let name = name.filter(|name| {
        let fits = name.chars().count() <= ENTITY_NAME_CHARS_MAX;
        if !fits {
            let told = format!("Name must have at most {ENTITY_NAME_CHARS_MAX} characters");
            reading.issues.push(Issue::new(format!("{path}.{NAME}"), told));
        }
        fits
    });
    let kept = kept_fields(collection, fields);
    let is_small = json_bytes(&kept) <= ENTITY_FIELDS_BYTES_MAX as u64;
    if !is_small {
        reading.issues.push(Issue::new(&*path, format!("Must have at most {ENTITY_FIELDS_BYTES_MAX} bytes of fields")));
    }
    let id = find(fields, collection.id_keys()).and_then(|(_, id)| scalar(id)).filter(|id| {
        let fits = id.chars().count() <= ENTITY_LLM_ID_CHARS_MAX;
        if !fits {
            let told = format!("Id must have at most {ENTITY_LLM_ID_CHARS_MAX} characters");
            reading.issues.push(Issue::new(format!("{path}.id"), told));
        }
        fits
    });
    let own = match name.filter(|_| is_small) {
        Some(name) => {
            reading.push(collection, subject, (name, id), kept, path.clone(), parent);
            reading.items.last().map(|item| item.id.clone())
        }
        None => None,
    };
    // The children of what has no name are looked at, and belong to nothing: they are not imported.
    let before = reading.items.len();
    for inner in &collection.children {
        read_list(inner, subject, fields, &path, own.as_ref(), reading);
    }
    if own.is_none() {
        for item in reading.items.drain(before..) {
            reading.names.remove(&item.id);
        }
    }
}

fn kept_fields(collection: &Collection, fields: &Map<String, Value>) -> Map<String, Value> {
    let others = collection.fields.iter().filter(|(field, _)| *field != NAME);
    let kept = others.filter_map(|(field, keys)| {
        let (_, value) = find(fields, keys.iter().map(String::as_str))?;
        Some((field.clone(), value.clone()))
    });
    kept.collect()
}

impl Reading {
    fn push(
        &mut self,
        collection: &Collection,
        subject: &SubjectKey,
        (name, llm_id): (String, Option<String>),
        fields: Map<String, Value>,
        path: String,
        parent: Option<&EntityId>,
    ) {
        let parent_id = parent.map(EntityId::as_str).unwrap_or_default();
        let (organization, of) = (subject.organization.as_str(), subject.subject.as_str());
        let id_of = |own: &str| EntityId::of(&[organization, of, &collection.kind, parent_id, own]);
        let by_name = || id_of(&format!("name:{}", name.to_lowercase()));
        let mut id = llm_id.as_ref().map_or_else(by_name, |id| id_of(&format!("id:{id}")));
        // Two things with one id would become one of them.
        if self.names.get(&id).is_some_and(|held| held.to_lowercase() != name.to_lowercase()) {
            self.issues.push(Issue::new(format!("{path}.id"), "Duplicate id"));
            id = by_name();
        }
        self.names.entry(id.clone()).or_insert_with(|| name.clone());
        self.items.push(Item {
            id,
            collection: collection.name.clone(),
            kind: collection.kind.clone(),
            name,
            llm_id,
            parent: parent.cloned(),
            path,
            fields,
        });
    }
}

/// The first of these keys that has a value.
fn find<'a, 'k>(fields: &'a Map<String, Value>, keys: impl Iterator<Item = &'k str>) -> Option<(&'a str, &'a Value)> {
    let mut found = keys.filter_map(|key| fields.get_key_value(key)).filter(|(_, value)| !value.is_null());
    found.next().map(|(key, value)| (key.as_str(), value))
}

fn name_in<'k>(fields: &Map<String, Value>, keys: impl Iterator<Item = &'k str>) -> Option<String> {
    let mut names = keys.filter_map(|key| fields.get(key)).filter_map(scalar);
    names.find_map(|name| named(&name))
}

/// A name without white space around it; `None`: there is nothing else.
fn named(text: &str) -> Option<String> {
    Some(text.trim()).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => named(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
