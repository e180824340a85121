//! The body of a request to accept a generation, with all its errors at once.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::json;

use crate::error::Error;
use crate::ids::SubjectId;
use crate::json::body::{self, read};
use crate::json::schema::Schema;
use crate::limits::{CHANGE_REASON_CHARS_MAX, SUBJECT_CHARS_MAX};

static ACCEPT: LazyLock<Schema> = LazyLock::new(|| {
    let properties = json!({
        "subject": { "type": ["string", "null"], "pattern": format!("^[A-Za-z0-9._:@-]{{1,{SUBJECT_CHARS_MAX}}}$") },
        "note": { "type": ["string", "null"], "maxLength": CHANGE_REASON_CHARS_MAX },
        "replace": { "type": "boolean" },
    });
    body::object(&properties, &[])
});

/// What is asked for with an acceptance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Accept {
    /// The subject; `None`: the one that the generation is about.
    #[serde(default)]
    pub subject: Option<SubjectId>,
    /// Why.
    #[serde(default)]
    pub note: Option<String>,
    /// Whether it takes the place of another accepted generation.
    #[serde(default)]
    pub replace: bool,
}

/// A request to accept; an empty body asks for nothing in particular.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn accept(body: &[u8]) -> Result<Accept, Error> {
    if body.trim_ascii().is_empty() {
        return Ok(Accept::default());
    }
    read(body, &ACCEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_are_told_at_once_and_an_empty_body_is_none() {
        assert_eq!(accept(b" ").unwrap(), Accept::default());
        let read = accept(br#"{"subject": "scenario:59", "replace": true, "note": null}"#).unwrap();
        assert_eq!((read.subject.unwrap().as_str(), read.replace, read.note), ("scenario:59", true, None));
        let Error::InvalidRequest(errors) = accept(br#"{"subject": "a b", "note": 7, "replace": "yes", "why": 1}"#).unwrap_err()
        else {
            panic!("another error");
        };
        let mut pointers: Vec<String> = errors.into_iter().map(|error| error.pointer).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/note", "/replace", "/subject", "/why"]);
    }
}
