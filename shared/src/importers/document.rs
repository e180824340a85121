//! The document of an importer, `longhand: importer/1`: checked once, with all violations told together.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::documents::DocumentName;
use crate::error::FieldError;
use crate::hash::sha256_hex;
use crate::json::schema::{IMPORTER, Schema, child};
use crate::limits::{IMPORTER_COLLECTIONS_MAX, IMPORTER_DEPTH_MAX, VALIDATION_ERRORS_MAX};

/// The field that every entity has.
pub const NAME: &str = "name";

/// A document of an importer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Importer {
    /// The kind of document, and its version: `importer/1`.
    pub longhand: String,
    /// Its name.
    pub name: DocumentName,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Keys of an object that wraps the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<String>,
    /// An object that the answer must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// A JSON Schema of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// The lists of entities at the answer's top.
    pub collections: Vec<Collection>,
}

/// An object that the answer must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The keys by which the answer may have it.
    pub from: Vec<String>,
    /// Texts that it must have, and the keys of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub required: BTreeMap<String, Vec<String>>,
}

/// A list of entities of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collection {
    /// Its name in the report.
    pub name: String,
    /// The kind of its entities.
    pub kind: String,
    /// The keys by which the answer may have it; none: its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// The keys by which an item may have an id of its own; none: `id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub id: Vec<String>,
    /// The fields that are kept, and the keys of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Vec<String>>,
    /// Whether an item may be a text, which is its name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text_as_name: bool,
    /// The least items of a list that is there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min: usize,
    /// The most items of one list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    /// The lists that each item may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Self>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Importer {
    /// Parses a document.
    ///
    /// # Errors
    /// All violations, the first [`VALIDATION_ERRORS_MAX`].
    pub fn from_value(value: &Value) -> Result<Self, Vec<FieldError>> {
        let mut violations = IMPORTER.errors(value);
        if violations.is_empty() {
            match serde_json::from_value::<Self>(value.clone()) {
                Ok(importer) => {
                    violations = importer.violations();
                    if violations.is_empty() {
                        return Ok(importer);
                    }
                }
                Err(error) => violations.push(FieldError::new("", format!("cannot be read: {error}"))),
            }
        }
        violations.truncate(VALIDATION_ERRORS_MAX);
        Err(violations)
    }

    fn violations(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        if let Some(Err(wrong)) = self.schema.as_ref().map(Schema::compile) {
            found.extend(wrong.into_iter().map(|error| FieldError::new(format!("/schema{}", error.pointer), error.detail)));
        }
        let mut seen = Seen::default();
        for (place, collection) in self.collections.iter().enumerate() {
            collection.violations(&child("/collections", &place.to_string()), 1, &mut seen, &mut found);
        }
        if seen.names.len() > IMPORTER_COLLECTIONS_MAX {
            found.push(FieldError::new(
                "/collections",
                format!("must have at most {IMPORTER_COLLECTIONS_MAX} collections in all"),
            ));
        }
        found
    }

    /// The document as it is stored and hashed: JSON whose fields are in one order.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value.sort_all_objects();
        value.to_string()
    }

    /// SHA-256 in hex of [`Self::canonical`].
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256_hex(self.canonical())
    }

    /// The names of all collections, each before its children.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collections.iter().for_each(|collection| collection.add_names(&mut names));
        names
    }
}

#[derive(Default)]
struct Seen {
    names: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Collection {
    /// The keys by which the answer may have the list.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let own = self.from.is_empty().then_some(self.name.as_str());
        self.from.iter().map(String::as_str).chain(own)
    }

    /// The keys by which an item may have an id.
    pub fn id_keys(&self) -> impl Iterator<Item = &str> {
        let own = self.id.is_empty().then_some("id");
        self.id.iter().map(String::as_str).chain(own)
    }

    /// The keys by which an item may have its name.
    pub fn name_keys(&self) -> impl Iterator<Item = &str> {
        let own = if self.fields.contains_key(NAME) { None } else { Some(NAME) };
        self.fields.get(NAME).into_iter().flatten().map(String::as_str).chain(own)
    }

    fn violations(&self, at: &str, depth: usize, seen: &mut Seen, found: &mut Vec<FieldError>) {
        if !seen.names.insert(self.name.clone()) || self.name == "errors" {
            found.push(FieldError::new(format!("{at}/name"), "must be a name that no other collection and not the report has"));
        }
        if !seen.kinds.insert(self.kind.clone()) {
            found.push(FieldError::new(format!("{at}/kind"), "must be a kind that no other collection has"));
        }
        if self.max.is_some_and(|max| max < self.min) {
            found.push(FieldError::new(format!("{at}/max"), "must be at least `min`"));
        }
        if depth > IMPORTER_DEPTH_MAX {
            found.push(FieldError::new(at, format!("must be at most {IMPORTER_DEPTH_MAX} collections deep")));
            return;
        }
        for (place, inner) in self.children.iter().enumerate() {
            inner.violations(&format!("{at}/children/{place}"), depth + 1, seen, found);
        }
    }

    fn add_names<'a>(&'a self, names: &mut Vec<&'a str>) {
        names.push(&self.name);
        self.children.iter().for_each(|inner| inner.add_names(names));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::STRATOS_SCENARIO;
    use super::*;

    #[test]
    fn built_in_importer_is_valid_and_reads_back() {
        let importer = &*STRATOS_SCENARIO;
        assert_eq!(importer.name.as_str(), super::super::BUILT_IN);
        assert_eq!(importer.names(), ["capabilities", "competencies", "skills", "roles"]);
        let back: Value = serde_json::from_str(&importer.canonical()).unwrap();
        assert_eq!(Importer::from_value(&back).as_ref(), Ok(importer));
        assert_eq!(importer.sha256().len(), 64);
    }

    #[test]
    fn violations_are_told_together_with_their_places() {
        let pointers = |value: Value| {
            let violations = Importer::from_value(&value).unwrap_err();
            violations.into_iter().map(|error| error.pointer).collect::<BTreeSet<_>>()
        };
        let of_form = pointers(json!({ "longhand": "importer/2", "name": "A", "collections": [{ "kind": "k", "max": 0 }] }));
        let expected = ["/longhand", "/name", "/collections/0/name", "/collections/0/max"];
        assert!(expected.iter().all(|pointer| of_form.iter().any(|found| found.starts_with(pointer))), "{of_form:?}");
        let leaf = |name: &str, kind: &str| json!({ "name": name, "kind": kind, "min": 3, "max": 2 });
        let twice = json!({
            "longhand": "importer/1", "name": "a", "schema": { "type": "nothing" },
            "collections": [leaf("a", "b"), leaf("a", "b"), leaf("errors", "c")],
        });
        let of_rules = pointers(twice);
        for pointer in ["/schema/type", "/collections/0/max", "/collections/1/name", "/collections/1/kind", "/collections/2/name"]
        {
            assert!(of_rules.contains(pointer), "{pointer}: {of_rules:?}");
        }
        let mut deep = json!({ "name": "n0", "kind": "k0" });
        for level in 1..=IMPORTER_DEPTH_MAX {
            deep = json!({ "name": format!("n{level}"), "kind": format!("k{level}"), "children": [deep] });
        }
        let too_deep = pointers(json!({ "longhand": "importer/1", "name": "a", "collections": [deep] }));
        assert!(too_deep.iter().any(|pointer| pointer.ends_with("/children/0")), "{too_deep:?}");
    }
}
