//! Event filter patterns: the subset of Lambda's filter language that stream triggers use.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// A filter pattern. Every field must match; a field matches if any of its values does.
#[derive(Clone, Debug)]
pub struct Pattern(Fields);

type Fields = Vec<(String, Rule)>;

#[derive(Clone, Debug)]
enum Rule {
    Nested(Fields),
    AnyOf(Vec<Test>),
}

#[derive(Clone, Debug)]
enum Test {
    Equals(Value),
    Exists(bool),
    Prefix(String),
    AnythingBut(Vec<Value>),
}

impl Pattern {
    /// Parses a pattern from JSON.
    ///
    /// # Errors
    /// The text is not JSON, not a pattern, or has an operator other than `exists`, `prefix` and `anything-but`.
    pub fn read(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).with_context(|| format!("the filter pattern is not JSON: {json}"))?;
        let object = value.as_object().with_context(|| format!("a filter pattern is an object, not {value}"))?;
        fields(object).map(Self).with_context(|| format!("filter pattern {json}"))
    }

    /// Whether `event` matches.
    #[must_use]
    pub fn matches(&self, event: &Value) -> bool {
        all_match(&self.0, Some(event))
    }

    /// Whether the record of a write that leaves the item `image` may match. What else the pattern asks for is taken to hold.
    #[must_use]
    pub fn may_match(&self, image: &Value) -> bool {
        self.images().all(|fields| all_match(fields, Some(image)))
    }

    /// The names of the attributes that [`Self::may_match`] looks at.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.images().flatten().map(|(name, _)| name.as_str())
    }

    /// What the pattern asks of the item as a write leaves it.
    fn images(&self) -> impl Iterator<Item = &Fields> {
        let of_event = self.0.iter().filter(|(name, _)| name == "dynamodb");
        let of_record = of_event.filter_map(|(_, rule)| rule.nested()).flatten();
        of_record.filter(|(name, _)| name == "Keys" || name == "NewImage").filter_map(|(_, rule)| rule.nested())
    }
}

impl Rule {
    fn nested(&self) -> Option<&Fields> {
        if let Self::Nested(fields) = self { Some(fields) } else { None }
    }
}

fn fields(object: &Map<String, Value>) -> Result<Fields> {
    object.iter().map(|(name, value)| Ok((name.clone(), rule(name, value)?))).collect()
}

fn rule(name: &str, value: &Value) -> Result<Rule> {
    match value {
        Value::Object(object) => Ok(Rule::Nested(fields(object)?)),
        Value::Array(values) if !values.is_empty() => Ok(Rule::AnyOf(values.iter().map(test).collect::<Result<_>>()?)),
        other => bail!("`{name}` needs a list of permitted values, not {other}"),
    }
}

fn test(value: &Value) -> Result<Test> {
    let Value::Object(object) = value else {
        return if value.is_array() { bail!("a list cannot hold a list: {value}") } else { Ok(Test::Equals(value.clone())) };
    };
    let operator = object.iter().next().filter(|_| object.len() == 1);
    Ok(match operator.map(|(name, argument)| (name.as_str(), argument)) {
        Some(("exists", Value::Bool(exists))) => Test::Exists(*exists),
        Some(("prefix", Value::String(prefix))) => Test::Prefix(prefix.clone()),
        Some(("anything-but", Value::Array(values))) if values.iter().all(is_scalar) => Test::AnythingBut(values.clone()),
        Some(("anything-but", value)) if is_scalar(value) => Test::AnythingBut(vec![value.clone()]),
        _ => bail!("the local stack does not support the filter operator {value}"),
    })
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

fn all_match(fields: &Fields, event: Option<&Value>) -> bool {
    fields.iter().all(|(name, rule)| {
        let value = event.and_then(|event| event.get(name));
        match rule {
            Rule::Nested(fields) => all_match(fields, value),
            Rule::AnyOf(tests) => tests.iter().any(|test| test.matches(value)),
        }
    })
}

impl Test {
    fn matches(&self, value: Option<&Value>) -> bool {
        // As in Lambda, `exists` applies to leaves only, not to objects.
        let leaf = value.filter(|value| !value.is_object());
        match (self, leaf) {
            (Self::Exists(exists), leaf) => leaf.is_some() == *exists,
            (_, None) => false,
            (test, Some(Value::Array(values))) => values.iter().any(|value| test.matches(Some(value))),
            (Self::Equals(expected), Some(value)) => equal(expected, value),
            (Self::Prefix(prefix), Some(value)) => value.as_str().is_some_and(|text| text.starts_with(prefix.as_str())),
            (Self::AnythingBut(not), Some(value)) => !not.iter().any(|not| equal(not, value)),
        }
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        #[expect(clippy::float_cmp, reason = "a filter compares numbers exactly")]
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the values are written where they are used")]
    fn matches(pattern: Value, event: Value) -> bool {
        Pattern::read(&pattern.to_string()).unwrap().matches(&event)
    }

    #[test]
    fn log_end_filter_selects_only_ends() {
        let pattern = json!({ "eventName": ["INSERT"], "dynamodb": { "NewImage": { "end": { "S": [{ "exists": true }] } } } });
        let end = json!({ "eventName": "INSERT", "dynamodb": { "NewImage": { "end": { "S": "completed" } } } });
        let chunk = json!({ "eventName": "INSERT", "dynamodb": { "NewImage": { "writer": { "S": "w" } } } });
        let removal = json!({ "eventName": "REMOVE", "dynamodb": { "Keys": {} } });
        assert!(matches(pattern.clone(), end));
        assert!(!matches(pattern.clone(), chunk));
        assert!(!matches(pattern, removal));
    }

    #[test]
    fn values_are_alternatives_and_fields_combine() {
        assert!(matches(json!({ "a": [1, "x"], "b": [true] }), json!({ "a": "x", "b": true })));
        assert!(!matches(json!({ "a": [1, "x"], "b": [true] }), json!({ "a": 1, "b": false })));
    }

    #[test]
    fn scalars_compare_by_type() {
        assert!(matches(json!({ "a": [null] }), json!({ "a": null })));
        assert!(!matches(json!({ "a": [null] }), json!({})));
        assert!(matches(json!({ "a": [5] }), json!({ "a": 5.0 })));
        assert!(!matches(json!({ "a": ["5"] }), json!({ "a": 5 })));
    }

    #[test]
    fn operators_match_as_on_aws() {
        assert!(matches(json!({ "a": [{ "prefix": "gen_" }] }), json!({ "a": "gen_1" })));
        assert!(!matches(json!({ "a": [{ "prefix": "gen_" }] }), json!({ "a": 1 })));
        assert!(matches(json!({ "a": [{ "anything-but": ["x", "y"] }] }), json!({ "a": "z" })));
        assert!(!matches(json!({ "a": [{ "anything-but": "x" }] }), json!({ "a": "x" })));
        assert!(!matches(json!({ "a": [{ "anything-but": "x" }] }), json!({})));
        assert!(matches(json!({ "a": { "b": [{ "exists": false }] } }), json!({})));
        assert!(matches(json!({ "a": ["x"] }), json!({ "a": ["y", "x"] })));
    }

    #[test]
    fn unsupported_pattern_is_named() {
        for (pattern, named) in [
            (r#"{"a":[{"numeric":[">",1]}]}"#, "numeric"),
            (r#"{"a":"x"}"#, "`a`"),
            (r#"{"a":[]}"#, "`a`"),
            ("[]", "object"),
            ("{", "JSON"),
        ] {
            let message = format!("{:#}", Pattern::read(pattern).unwrap_err());
            assert!(message.contains(named), "{message}");
        }
    }
}
