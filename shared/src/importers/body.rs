//! Bodies of the requests about importers.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Error;
use crate::generation::request::read_json;
use crate::ids::{GenerationId, SubjectId};
use crate::json::body::{object, read};
use crate::json::schema::Schema;
use crate::limits::SUBJECT_CHARS_MAX;

static CHECK: LazyLock<Schema> = LazyLock::new(|| {
    let fields = json!({
        "document": { "type": "object" },
        "generation": { "type": "string", "pattern": "^gen_[0-9a-z]{26}$" },
        "subject": { "type": "string", "pattern": format!("^[A-Za-z0-9._:@-]{{1,{SUBJECT_CHARS_MAX}}}$") },
    });
    object(&fields, &["document"])
});

/// A document that is to be checked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CheckBody {
    /// It.
    pub document: Value,
    /// A generation that it would import.
    #[serde(default)]
    pub generation: Option<GenerationId>,
    /// The subject that it would import for; `None`: the one that the generation is about.
    #[serde(default)]
    pub subject: Option<SubjectId>,
}

/// The document that is to be published.
///
/// # Errors
/// [`Error::InvalidRequest`]: it is no JSON. [`Error::RequestTooLarge`].
pub fn document(body: &[u8]) -> Result<Value, Error> {
    read_json(body)
}

/// The document that is to be checked, and what against.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn check(body: &[u8]) -> Result<CheckBody, Error> {
    read(body, &CHECK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_and_checked() {
        let read = check(br#"{"document":{"a":1},"generation":"gen_01arz3ndektsv4rrffq69g5fav"}"#).unwrap();
        assert_eq!((read.document, read.subject), (json!({ "a": 1 }), None));
        for wrong in ["", "[]", "{}", r#"{"document":1}"#, r#"{"document":{},"generation":"x"}"#, r#"{"document":{},"other":1}"#]
        {
            assert!(matches!(check(wrong.as_bytes()), Err(Error::InvalidRequest(_))), "{wrong}");
        }
    }
}
