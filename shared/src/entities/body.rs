//! Bodies of the requests about entities, each with all its errors at once.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Act;
use crate::error::Error;
use crate::ids::EntityId;
use crate::json::body::{object, read};
use crate::json::json_bytes;
use crate::json::schema::Schema;
use crate::limits::{CHANGE_REASON_CHARS_MAX, ENTITY_FIELDS_BYTES_MAX, ENTITY_NAME_CHARS_MAX, REVIEW_ITEMS_MAX};

static DECIDE: LazyLock<Schema> = LazyLock::new(|| {
    let kind = json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$" });
    let item = json!({
        "type": "object",
        "properties": { "type": kind, "id": { "type": "string", "pattern": "^ent_[0-9a-z]{26}$" } },
        "required": ["id"],
        "additionalProperties": false,
    });
    let properties = json!({
        "items": { "type": "array", "minItems": 1, "maxItems": REVIEW_ITEMS_MAX, "items": item },
        "all": { "const": true },
        "kind": kind,
        "cascade": { "type": "boolean" },
        "note": note(),
    });
    object(&properties, &[])
});
static EDIT: LazyLock<Schema> = LazyLock::new(|| {
    let properties = json!({
        "name": { "type": "string", "maxLength": ENTITY_NAME_CHARS_MAX, "pattern": "\\S" },
        "fields": { "type": "object", "propertyNames": { "pattern": "^[a-z][a-z0-9_]{0,63}$", "not": { "const": "name" } } },
        "note": note(),
    });
    object(&properties, &[])
});
static NOTE: LazyLock<Schema> = LazyLock::new(|| object(&json!({ "note": note() }), &[]));

fn note() -> Value {
    json!({ "type": ["string", "null"], "maxLength": CHANGE_REASON_CHARS_MAX })
}

/// An entity that is to be decided.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// Its id.
    pub id: EntityId,
    /// Its kind, where it is checked.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// Which entities are decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// These.
    Items(Vec<Named>),
    /// All that the act begins at, of one kind or of any.
    All(Option<String>),
}

/// A request to approve, reject or archive entities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decide {
    /// What is done.
    pub act: Act,
    /// To which.
    pub which: Which,
    /// Whether those that they belong to are approved with them; of a rejection and an archiving, whether what belongs to them is.
    pub cascade: bool,
    /// Whether a cascade of an approval goes to what belongs to the entities, in place of what they belong to.
    pub with_children: bool,
    /// Why.
    pub note: Option<String>,
}

impl Named {
    /// One of any kind.
    #[must_use]
    pub const fn new(id: EntityId) -> Self {
        Self { id, kind: None }
    }
}

impl Decide {
    /// The approval of an entity with all that belongs to it.
    #[must_use]
    pub fn promote(id: EntityId, note: Option<String>) -> Self {
        let which = Which::Items(vec![Named::new(id)]);
        Self { act: Act::Approve, which, cascade: true, with_children: true, note }
    }

    /// Whether a cascade goes to what belongs to the entities.
    #[must_use]
    pub fn is_downwards(&self) -> bool {
        self.with_children || self.act != Act::Approve
    }
}

/// A request to edit an entity.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct EditEntity {
    /// The new name.
    #[serde(default)]
    pub name: Option<String>,
    /// Fields that are set; null removes one.
    #[serde(default)]
    pub fields: Map<String, Value>,
    /// Why.
    #[serde(default)]
    pub note: Option<String>,
}

/// A request to decide entities.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn decide(body: &[u8], act: Act) -> Result<Decide, Error> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        items: Option<Vec<Named>>,
        #[serde(default)]
        all: bool,
        #[serde(default)]
        kind: Option<String>,
        #[serde(default)]
        cascade: bool,
        #[serde(default)]
        note: Option<String>,
    }
    let Body { items, all, kind, cascade, note } = read(body, &DECIDE)?;
    let which = match (items, all) {
        (Some(items), false) if kind.is_none() => Which::Items(items),
        (Some(_), false) => return Err(Error::invalid("/kind", "must be given with `all` alone; an item has a `type`")),
        (None, true) => Which::All(kind),
        _ => return Err(Error::invalid("", "must have either `items` or `all`")),
    };
    Ok(Decide { act, which, cascade, with_children: false, note })
}

/// A request to edit an entity.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn edit(body: &[u8]) -> Result<EditEntity, Error> {
    let edit: EditEntity = read(body, &EDIT)?;
    if edit.name.is_none() && edit.fields.is_empty() {
        return Err(Error::invalid("", "must have `name` or `fields`"));
    }
    if json_bytes(&edit.fields) > ENTITY_FIELDS_BYTES_MAX as u64 {
        return Err(Error::invalid("/fields", format!("must have at most {ENTITY_FIELDS_BYTES_MAX} bytes as JSON")));
    }
    Ok(edit)
}

/// A `note` alone; an empty body has none.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn note_of(body: &[u8]) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        note: Option<String>,
    }
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    read(body, &NOTE).map(|Body { note }| note)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(refused: Error) -> Vec<String> {
        let Error::InvalidRequest(errors) = refused else { panic!("{refused}") };
        let mut pointers: Vec<String> = errors.into_iter().map(|error| error.pointer).collect();
        pointers.sort_unstable();
        pointers
    }

    #[test]
    fn entities_are_named_one_by_one_or_all() {
        let id = EntityId::of(&["e"]);
        let read = |body: Value| decide(body.to_string().as_bytes(), Act::Approve);
        let some = read(json!({ "items": [{ "type": "skill", "id": id }], "cascade": true })).unwrap();
        assert_eq!((some.which, some.cascade), (Which::Items(vec![Named { id, kind: Some("skill".into()) }]), true));
        assert_eq!(read(json!({ "all": true, "kind": "skill" })).unwrap().which, Which::All(Some("skill".into())));
        for (wrong, expected) in [
            (json!({}), vec![""]),
            (json!({ "items": [{ "id": "ent_1" }], "note": 7, "why": 1 }), vec!["/items/0/id", "/note", "/why"]),
            (json!({ "items": [{ "id": EntityId::of(&["e"]) }], "kind": "skill" }), vec!["/kind"]),
            (json!({ "all": false }), vec!["/all"]),
        ] {
            assert_eq!(pointers(read(wrong.clone()).unwrap_err()), expected, "{wrong}");
        }
    }

    #[test]
    fn edits_have_a_name_or_fields_and_notes_may_be_absent() {
        assert_eq!(edit(br#"{"name": "n", "fields": {"a": null}}"#).unwrap().fields.len(), 1);
        for (wrong, expected) in [("{}", ""), (r#"{"name": " "}"#, "/name"), (r#"{"fields": 1}"#, "/fields")] {
            assert_eq!(pointers(edit(wrong.as_bytes()).unwrap_err()), [expected], "{wrong}");
        }
        assert!(edit(br#"{"fields": {"name": "x"}}"#).is_err());
        let large = json!({ "fields": { "a": "x".repeat(ENTITY_FIELDS_BYTES_MAX) } }).to_string();
        assert_eq!(pointers(edit(large.as_bytes()).unwrap_err()), ["/fields"]);
        assert_eq!((note_of(b"").unwrap(), note_of(br#"{"note":"n"}"#).unwrap()), (None, Some("n".into())));
    }
}
