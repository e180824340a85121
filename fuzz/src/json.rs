//! JSON in a model's output: complete, and while it is being written.

use longhand::json::partial::{Checker, Violation, best};
use longhand::json::schema::Schema;
use longhand::json::text as finder;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::duplicates::has_duplicate_names;
use crate::split;

const READ_BYTES_MAX: usize = 7;

/// The JSON found is an unchanged part of the text, parses, and has the reported depth.
pub fn json_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(json) = finder::find(text) else { return };
    assert!(text.contains(json.get()));
    if has_duplicate_names(json.get()) {
        return;
    }
    let depth = finder::depth(json);
    // The reference parser does not support deeper documents.
    match serde_json::from_str::<Value>(json.get()) {
        Ok(value) => assert_eq!(depth, deep(&value)),
        Err(error) => assert!(depth >= 127 || error.to_string().contains("out of range"), "{error}"),
    }
}

fn deep(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(deep).max().unwrap_or(0),
        Value::Object(values) => 1 + values.values().map(deep).max().unwrap_or(0),
        _ => 0,
    }
}

/// The best value so far is JSON, and for a complete text it is the text's value. A violation of the schema is found wherever the text
/// is cut, and no text with a violation is valid.
pub fn partial_json(data: &[u8]) {
    let (how, text) = split(data);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let so_far = best(text);
    let found = finder::find(text);
    if let Some(whole) = found.filter(|json| json.get().starts_with(['{', '[', '"'])) {
        assert_eq!(so_far.as_deref().map(RawValue::get), Some(whole.get()));
    }
    // A text that begins as an object and continues as prose is treated by its beginning, although a fence may follow.
    if text.trim_ascii_start().starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(text).is_err() {
        return;
    }
    let schemas = schemas();
    let schema = &schemas[usize::from(how) % schemas.len()];
    let violation = violation(schema, text, usize::from(how) % READ_BYTES_MAX);
    // A value reported for a fence stays reported even if a second fence makes the result no JSON.
    let of_whole = self::violation(schema, text, text.len());
    assert!(of_whole == violation || of_whole.is_none() && found.is_none(), "{violation:?} {of_whole:?}");
    let whole = found.filter(|json| !has_duplicate_names(json.get()));
    if let (Some(violation), Some(whole)) = (violation, whole.and_then(|json| serde_json::from_str(json.get()).ok())) {
        let schema = Schema::compile(schema).expect("a schema");
        assert!(!schema.errors(&whole).is_empty(), "{violation:?}");
    }
}

/// Feeds the text in pieces of at least this many bytes, cut between characters.
fn violation(schema: &Value, text: &str, bytes: usize) -> Option<Violation> {
    let mut checker = Checker::new(schema);
    let (mut told, mut rest) = (None, text);
    while !rest.is_empty() {
        let cut = (bytes.max(1)..rest.len()).find(|cut| rest.is_char_boundary(*cut)).unwrap_or(rest.len());
        let violation = checker.feed(&rest[..cut]);
        assert!(told.is_none() || violation.is_none(), "a violation is told once");
        told = told.or(violation);
        rest = &rest[cut..];
    }
    told
}

fn schemas() -> [Value; 4] {
    let score = json!({ "type": "integer", "minimum": 0, "maximum": 9 });
    [
        json!({}),
        json!({
            "type": "object", "required": ["a", "b"], "additionalProperties": false,
            "properties": { "a": score, "b": { "type": "array", "items": { "$ref": "#/$defs/c" }, "minItems": 1, "maxItems": 2 } },
            "$defs": { "c": { "type": ["string", "null"], "maxLength": 3, "enum": ["x", "é", "\"", null] } },
        }),
        json!({ "anyOf": [{ "type": "string", "pattern": "^a+$" }, { "type": "number", "multipleOf": 0.5 }, { "type": "array", "items": { "$ref": "#" } }] }),
        json!({
            "allOf": [{ "required": ["k"] }, { "properties": { "k": { "const": 0 } } }], "patternProperties": { "^x": score },
            "propertyNames": { "maxLength": 2 }, "additionalProperties": { "not": { "type": "object" } },
        }),
    ]
}
