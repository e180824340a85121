//! Bodies of the requests about pipelines.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::generation::request::read_json;
use crate::json::body::{object, read};
use crate::json::json_bytes;
use crate::json::schema::Schema;
use crate::limits::SAMPLE_INPUT_BYTES_MAX;

static CHECK: LazyLock<Schema> = LazyLock::new(|| {
    let fields = json!({ "document": { "type": "object" }, "input": { "type": "object" }, "outputs": { "type": "object" } });
    object(&fields, &["document"])
});

/// A document that is to be checked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CheckBody {
    /// It.
    pub document: Value,
    /// A sample of its input.
    pub input: Option<Value>,
    /// Samples of outputs, by the ids of their steps.
    #[serde(default)]
    pub outputs: Map<String, Value>,
}

/// The document that is to be published.
///
/// # Errors
/// [`Error::InvalidRequest`]: it is no JSON. [`Error::RequestTooLarge`].
pub fn document(body: &[u8]) -> Result<Value, Error> {
    read_json(body)
}

/// The document that is to be checked, and samples.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn check(body: &[u8]) -> Result<CheckBody, Error> {
    let body: CheckBody = read(body, &CHECK)?;
    let bytes = body.input.as_ref().map_or(0, json_bytes);
    if bytes > SAMPLE_INPUT_BYTES_MAX {
        return Err(Error::invalid("/input", format!("must have at most {SAMPLE_INPUT_BYTES_MAX} bytes; it has {bytes}")));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_and_checked() {
        let read = check(br#"{"document":{"a":1},"outputs":{"E1":"x"}}"#).unwrap();
        assert_eq!((read.document, read.input, read.outputs.len()), (json!({ "a": 1 }), None, 1));
        for wrong in ["", "[]", "{}", r#"{"document":1}"#, r#"{"document":{},"input":[]}"#, r#"{"document":{},"other":1}"#] {
            assert!(matches!(check(wrong.as_bytes()), Err(Error::InvalidRequest(_))), "{wrong}");
        }
        let large = json!({ "document": {}, "input": { "x": "x".repeat(600_000) } }).to_string();
        assert!(matches!(check(large.as_bytes()), Err(Error::InvalidRequest(errors)) if errors[0].pointer == "/input"));
        assert!(document(b"longhand: pipeline/1").is_err());
    }
}
