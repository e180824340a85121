//! The API's `OpenAPI` document as one JSON value.

use anyhow::{Context, Result};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../schemas/openapi.yaml");
/// The schemas that the document references by file name.
const SCHEMAS: [(&str, &str); 4] = [
    ("batch-request.schema.json", include_str!("../../schemas/batch-request.schema.json")),
    ("generation-request.schema.json", include_str!("../../schemas/generation-request.schema.json")),
    ("run-request.schema.json", include_str!("../../schemas/run-request.schema.json")),
    ("generation-metadata.schema.json", include_str!("../../schemas/generation-metadata.schema.json")),
];

/// `infra/schemas/openapi.yaml` as JSON (`OpenAPI` 3.1), with the published JSON Schemas inlined.
///
/// # Errors
/// An embedded file is invalid.
pub fn openapi() -> Result<Value> {
    let mut document: Value = serde_norway::from_str(DOCUMENT).context("openapi.yaml cannot be read")?;
    let parts =
        document.pointer_mut("/components/schemas").and_then(Value::as_object_mut).context("openapi.yaml has no schemas")?;
    for part in parts.values_mut() {
        if let Some((name, text)) = SCHEMAS.iter().find(|(name, _)| part["$ref"] == **name) {
            *part = serde_json::from_str(text).with_context(|| format!("{name} cannot be read"))?;
        }
    }
    Ok(document)
}
