//! JSON Schema, by the crate `jsonschema`, which supports every draft and reports all errors with their places.
//!
//! The messages are our own, and never repeat the value, which may be a prompt or an output.

use std::sync::LazyLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ReferencingError, ValidationError, Validator};
use serde_json::Value;

use crate::error::FieldError;
use crate::json::schema_cost::{self, Cost, REFERENCES_MAX};
use crate::limits::VALIDATION_ERRORS_MAX;

/// The schemas that may apply to one value, references included. A check of one value takes time proportional to their
/// number.
const EXPANSION_MAX: usize = 10_000;

/// The bound of a pointer or a message, in characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// A schema that compiles.
#[derive(Debug)]
pub struct Schema(Validator);

/// The published contract of a generation's metadata (draft-07).
pub static GENERATION_METADATA: LazyLock<Schema> =
    LazyLock::new(|| published(include_str!("../../../infra/schemas/generation-metadata.schema.json")));

/// The body of `POST /v1/generations` (draft-07).
pub static GENERATION_REQUEST: LazyLock<Schema> =
    LazyLock::new(|| published(include_str!("../../../infra/schemas/generation-request.schema.json")));

/// The body of `POST /v1/batches` (draft-07).
pub static BATCH_REQUEST: LazyLock<Schema> =
    LazyLock::new(|| published(include_str!("../../../infra/schemas/batch-request.schema.json")));

/// The body of `POST /v1/runs` (draft-07).
pub static RUN_REQUEST: LazyLock<Schema> =
    LazyLock::new(|| published(include_str!("../../../infra/schemas/run-request.schema.json")));

/// A document of `PUT /v1/pipelines/{name}` (draft-07).
pub static PIPELINE: LazyLock<Schema> = LazyLock::new(|| published(include_str!("../../../infra/schemas/pipeline.schema.json")));

/// A document of `PUT /v1/importers/{name}` (draft-07).
pub static IMPORTER: LazyLock<Schema> = LazyLock::new(|| published(include_str!("../../../infra/schemas/importer.schema.json")));

#[expect(clippy::expect_used, reason = "the text is compiled in, and a test compiles it")]
fn published(text: &str) -> Schema {
    let schema: Value = serde_json::from_str(text).expect("a published schema is JSON");
    Schema::compile(&schema).expect("a published schema compiles")
}

impl Schema {
    /// Compiles a schema of any draft; without `$schema`, of the newest. Nothing is fetched: a reference must stay within the
    /// schema. Patterns are matched in linear time, so look-around and back-references are refused. So is a schema that may
    /// apply more than 10,000 schemas to one value, and one with more than 1,000 references.
    ///
    /// # Errors
    /// All errors of the schema, or the one that prevents its use.
    pub fn compile(schema: &Value) -> Result<Self, Vec<FieldError>> {
        let cost = schema_cost::measure(schema, EXPANSION_MAX);
        let refusal = match cost {
            Cost::TooHigh => {
                format!("must not apply more than {EXPANSION_MAX} schemas to one value, references and all nesting included")
            }
            Cost::TooManyReferences => format!("must have at most {REFERENCES_MAX} references to schemas"),
            Cost::AtMost(_) | Cost::Unresolved(_) => String::new(),
        };
        if !refusal.is_empty() {
            return Err(vec![FieldError::new("", refusal)]);
        }
        let validator = jsonschema::options()
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true)
            .offline()
            .build(schema)
            .map_err(|error| unusable(schema, &error))?;
        match cost {
            Cost::Unresolved(reference) => {
                Err(vec![FieldError::new("", format!("must refer to a schema within the document: {reference}"))])
            }
            _ => Ok(Self(validator)),
        }
    }

    /// The errors of `value` in document order, at most [`VALIDATION_ERRORS_MAX`]; empty if it is valid.
    pub fn errors(&self, value: &Value) -> Vec<FieldError> {
        self.0.iter_errors(value).flat_map(|error| field_errors(&error)).map(bounded).take(VALIDATION_ERRORS_MAX).collect()
    }

    /// The same with where in the schema each comes from, and without a limit: for small values.
    pub(crate) fn failures<'a>(&'a self, value: &'a Value) -> impl Iterator<Item = Failure> + 'a {
        self.0.iter_errors(value).flat_map(|error| {
            let (keyword, schema_pointer) = (error.kind().keyword().to_owned(), error.schema_path().as_str().to_owned());
            let failure =
                move |error| Failure { error: bounded(error), keyword: keyword.clone(), schema_pointer: schema_pointer.clone() };
            field_errors(&error).into_iter().map(failure).collect::<Vec<_>>()
        })
    }

    /// The first error only, for a large value: collecting all errors would take many times its memory.
    pub fn first_error(&self, value: &Value) -> Vec<FieldError> {
        self.0.validate(value).err().map(|error| field_errors(&error)).into_iter().flatten().map(bounded).take(1).collect()
    }
}

/// An error, and the keyword of the schema that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The place in the value, and what was expected there.
    pub error: FieldError,
    /// The keyword: `required`, `pattern` ….
    pub keyword: String,
    /// Where the keyword is, as a JSON Pointer into the schema.
    pub schema_pointer: String,
}

/// A schema may hold megabytes of options, and a document names of any length; a row must hold fifty errors.
fn bounded(error: FieldError) -> FieldError {
    FieldError { pointer: cut(error.pointer), detail: cut(error.detail) }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn unusable(schema: &Value, error: &ValidationError<'_>) -> Vec<FieldError> {
    let meta = jsonschema::meta::validator_for(schema);
    let found: Vec<FieldError> =
        meta.iter().flat_map(|meta| meta.iter_errors(schema)).flat_map(|error| field_errors(&error)).collect();
    let mut found = if found.is_empty() { field_errors(error) } else { found };
    for error in found.iter_mut().filter(|error| error.pointer.ends_with("/type") && error.detail.contains("anyOf")) {
        error.detail = "must be the name of a type or a list of such names".into();
    }
    found
}

fn field_errors(error: &ValidationError<'_>) -> Vec<FieldError> {
    let at = error.instance_path().as_str();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| FieldError::new(child(at, name), "is not a known field")).collect()
        }
        ValidationErrorKind::Required { property } => {
            vec![FieldError::new(child(at, property.as_str().unwrap_or_default()), "is required")]
        }
        _ => vec![FieldError::new(at, expectation(error))],
    }
}

/// RFC 6901: `~` and `/` are escaped.
pub(crate) fn child(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn expectation(error: &ValidationError<'_>) -> String {
    use ValidationErrorKind as Kind;
    match error.kind() {
        Kind::Type { kind: jsonschema::error::TypeKind::Single(kind) } => must_be(&[kind.as_str()]),
        Kind::Type { kind: jsonschema::error::TypeKind::Multiple(kinds) } => {
            let kinds: Vec<&str> = kinds.iter().map(jsonschema::JsonType::as_str).collect();
            must_be(&kinds)
        }
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MinLength { limit: 1 } | Kind::MinItems { limit: 1 } => "must not be empty".into(),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::Enum { options } => format!("must be one of {options}"),
        Kind::FalseSchema => "must not be given".into(),
        Kind::Constant { expected_value } => format!("must be {expected_value}"),
        Kind::Pattern { pattern } => format!("must match the pattern {pattern}"),
        Kind::Format { format } if format == "regex" => {
            "must be a regular expression, without look-around and back-references".into()
        }
        Kind::Referencing(ReferencingError::Unretrievable { uri, .. }) => format!("must not refer to {uri}: nothing is fetched"),
        Kind::Referencing(ReferencingError::UnknownSpecification { specification }) => {
            format!("must have a draft of JSON Schema as its `$schema`, not {specification}")
        }
        Kind::Referencing(error) => format!("must refer to a schema within the document: {error}"),
        Kind::Format { format } => format!("must be a {format} string"),
        Kind::OneOfMultipleValid { .. } => "must match exactly one of the schemas in `oneOf`, and matches several".into(),
        Kind::OneOfNotValid { .. } => "must match one of the schemas in `oneOf`".into(),
        Kind::AnyOf { .. } => "must match one of the schemas in `anyOf`".into(),
        _ => format!("does not satisfy the keyword `{}`", error.kind().keyword()),
    }
}

/// The message for a value of the wrong type.
pub(crate) fn must_be(kinds: &[&str]) -> String {
    let kinds: Vec<String> = kinds.iter().map(|kind| article(kind)).collect();
    format!("must be {}", kinds.join(" or "))
}

fn article(kind: &str) -> String {
    match kind {
        "null" => "null".into(),
        "array" | "integer" | "object" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn published_schemas_compile_and_report_errors() {
        let metadata = json!({ "provider": "abacus", "progress": { "received_chunks": "3" }, "compacted_at": "yesterday" });
        let wrong: Vec<String> = GENERATION_METADATA.errors(&metadata).into_iter().map(|error| error.pointer).collect();
        for pointer in ["/model", "/progress/received_chunks", "/progress/received_bytes", "/compacted_at"] {
            assert!(wrong.contains(&pointer.to_owned()), "{pointer} in {wrong:?}");
        }
        assert!(GENERATION_REQUEST.errors(&json!({ "model": "m", "prompt": "p" })).is_empty());
    }

    #[test]
    fn remote_references_and_slow_patterns_are_refused() {
        assert!(Schema::compile(&json!({ "$ref": "https://example.com/x.json" })).is_err());
        assert!(Schema::compile(&json!({ "pattern": "(a+)\\1" })).is_err());
    }

    #[test]
    fn references_are_counted() {
        let chain = |references: usize| {
            let link = |at: usize| json!({ "properties": { "next": { "$ref": format!("#/$defs/a{}", at % references) } } });
            let definitions: serde_json::Map<_, _> = (0..references).map(|at| (format!("a{at}"), link(at + 1))).collect();
            Schema::compile(&json!({ "$defs": definitions }))
        };
        assert!(chain(REFERENCES_MAX).is_ok());
        let errors = chain(REFERENCES_MAX + 1).unwrap_err();
        assert_eq!(errors, [FieldError::new("", "must have at most 1000 references to schemas")]);
    }
}
