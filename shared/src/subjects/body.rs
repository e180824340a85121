//! Bodies of the requests about subjects, each with all its errors at once.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Details;
use crate::error::Error;
use crate::json::body::{self, check, read};
use crate::json::json_bytes;
use crate::json::schema::Schema;
use crate::limits::{
    CHANGE_REASON_CHARS_MAX, LABEL_CHARS_MAX, LABELS_MAX, SUBJECT_ATTRIBUTES_BYTES_MAX, SUBJECT_TITLE_CHARS_MAX,
};

static DETAILS: LazyLock<Schema> = LazyLock::new(|| {
    let properties = json!({
        "title": { "type": ["string", "null"], "maxLength": SUBJECT_TITLE_CHARS_MAX },
        "attributes": { "type": "object" },
        "labels": labels(),
    });
    body::object(&properties, &[])
});
static EDIT: LazyLock<Schema> =
    LazyLock::new(|| body::object(&json!({ "text": { "type": "string" }, "json": {}, "reason": reason() }), &[]));
static REASON: LazyLock<Schema> = LazyLock::new(|| body::object(&json!({ "reason": reason() }), &[]));
static LABELS: LazyLock<Schema> = LazyLock::new(|| body::object(&json!({ "labels": labels() }), &[]));

/// The new text of an edit, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The text; JSON as it was sent.
    pub text: String,
    /// Why.
    pub reason: Option<String>,
}

fn labels() -> Value {
    let pattern = format!("^[A-Za-z0-9._:@-]{{1,{LABEL_CHARS_MAX}}}$");
    json!({ "type": "array", "maxItems": LABELS_MAX, "uniqueItems": true, "items": { "type": "string", "pattern": pattern } })
}

fn reason() -> Value {
    json!({ "type": ["string", "null"], "maxLength": CHANGE_REASON_CHARS_MAX })
}

/// The details of a subject. An absent field is empty.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn details(body: &[u8]) -> Result<Details, Error> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        title: Option<String>,
        #[serde(default)]
        attributes: Map<String, Value>,
        #[serde(default)]
        labels: BTreeSet<String>,
    }
    let Body { title, attributes, labels } = read(body, &DETAILS)?;
    if json_bytes(&attributes) > SUBJECT_ATTRIBUTES_BYTES_MAX as u64 {
        return Err(Error::invalid("/attributes", format!("must have at most {SUBJECT_ATTRIBUTES_BYTES_MAX} bytes as JSON")));
    }
    let attributes = Some(attributes).filter(|own| !own.is_empty()).map(|own| Value::Object(own).to_string());
    Ok(Details { title, attributes, labels })
}

/// An edit: `text` or `json`, and `reason`.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn edit(body: &[u8]) -> Result<Edit, Error> {
    #[derive(Deserialize)]
    struct Body {
        text: Option<String>,
        json: Option<Box<RawValue>>,
        reason: Option<String>,
    }
    check(body, &EDIT)?;
    // Read from the text itself: numbers keep their spelling.
    let read: Body = serde_json::from_slice(body).map_err(|error| Error::invalid("", format!("cannot be read: {error}")))?;
    match (read.text, read.json) {
        (Some(text), None) => Ok(Edit { text, reason: read.reason }),
        (None, Some(json)) => Ok(Edit { text: json.get().to_owned(), reason: read.reason }),
        _ => Err(Error::invalid("", "must have either `text` or `json`")),
    }
}

/// A `reason` alone; an empty body has none.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn reason_of(body: &[u8]) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    struct Body {
        reason: Option<String>,
    }
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    read(body, &REASON).map(|Body { reason }| reason)
}

/// The labels of a version.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn version_labels(body: &[u8]) -> Result<BTreeSet<String>, Error> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        labels: BTreeSet<String>,
    }
    read(body, &LABELS).map(|Body { labels }| labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(refused: Error) -> Vec<String> {
        let Error::InvalidRequest(errors) = refused else { panic!("{refused}") };
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn all_errors_of_a_body_are_told_at_once() {
        let wrong = br#"{"title": 7, "labels": ["a b"], "colour": "red"}"#;
        let mut pointers = errors(details(wrong).unwrap_err());
        pointers.sort_unstable();
        assert_eq!(pointers, ["/colour", "/labels/0", "/title"]);
        assert_eq!(errors(version_labels(br#"{"labels": ["a", "a"]}"#).unwrap_err()), ["/labels"]);
        assert_eq!(errors(reason_of(br#"{"why": "x"}"#).unwrap_err()), ["/why"]);
        let large = json!({ "attributes": { "a": "x".repeat(SUBJECT_ATTRIBUTES_BYTES_MAX) } }).to_string();
        assert_eq!(errors(details(large.as_bytes()).unwrap_err()), ["/attributes"]);
    }

    #[test]
    fn an_edit_has_one_text_and_json_keeps_its_spelling() {
        let edited = edit(br#"{"json": {"n": 1.50, "a": [1, 2]}, "reason": "typo"}"#).unwrap();
        assert_eq!((edited.text.as_str(), edited.reason.as_deref()), (r#"{"n": 1.50, "a": [1, 2]}"#, Some("typo")));
        for wrong in ["{}", r#"{"text": "a", "json": 1}"#] {
            assert_eq!(errors(edit(wrong.as_bytes()).unwrap_err()), [""], "{wrong}");
        }
        assert_eq!(reason_of(b" ").unwrap(), None);
    }
}
