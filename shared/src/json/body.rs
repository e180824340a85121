//! Small bodies of requests, read by a schema of their properties: all errors at once.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::schema::Schema;
use crate::error::{Error, FieldError};
use crate::generation::request::read_json;

/// The schema of an object that has these properties and no others.
///
/// # Panics
/// The schema does not compile. The schemas are compiled in, and tests compile them.
#[expect(clippy::expect_used, reason = "the schemas are compiled in, and a test of each compiles it")]
#[must_use]
pub fn object(properties: &Value, required: &[&str]) -> Schema {
    let schema = json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    Schema::compile(&schema).expect("a schema of the source compiles")
}

/// A body as a value.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn read<T: DeserializeOwned>(body: &[u8], schema: &Schema) -> Result<T, Error> {
    let value = check(body, schema)?;
    serde_json::from_value(value).map_err(|error| Error::invalid("", format!("cannot be read: {error}")))
}

/// Checks a body.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn check(body: &[u8], schema: &Schema) -> Result<Value, Error> {
    let value = read_json(body)?;
    let errors: Vec<FieldError> = schema.errors(&value);
    if errors.is_empty() { Ok(value) } else { Err(Error::InvalidRequest(errors)) }
}
