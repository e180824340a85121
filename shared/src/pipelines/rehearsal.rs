//! What the steps of a pipeline would ask for: their requests for a sample input, with outputs that are made up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::context::{Context, Done, DoneStatus};
use super::document::Document;
use super::input::{InputErrors, referred};
use crate::json::json_bytes;

/// How deeply an output is made up.
const DEPTH_MAX: usize = 8;
/// An output that is made up: schemas that refer to each other double with each level.
const SAMPLE_BYTES_MAX: u64 = 64 * 1024;
/// What a field has beside its name and its value.
const FIELD_BYTES: u64 = 16;

/// A pipeline as it would go with a sample input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// The input, with its defaults.
    pub input: Value,
    /// The steps, in the order of the document.
    pub steps: Vec<Rehearsed>,
    /// The name of the subject whose next version the result would become.
    pub subject: Option<String>,
}

/// A step as it would go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// Its name in the document.
    pub id: String,
    /// Whether its `when` is true.
    pub wanted: bool,
    /// The body of its request, unless it is skipped or `error` tells why there is none.
    pub request: Option<Value>,
    /// What is wrong with a template.
    pub error: Option<String>,
}

impl Rehearsal {
    /// Leaves requests out beyond `most` bytes of JSON; such a step says so.
    #[must_use]
    pub fn bounded(mut self, most: u64) -> Self {
        let mut left = most;
        for step in &mut self.steps {
            if let Some(rest) = left.checked_sub(json_bytes(&step.request)) {
                left = rest;
            } else {
                step.request = None;
                step.error = Some("its request is left out: the requests of the steps have too many bytes together".to_owned());
            }
        }
        self
    }
}

impl Document {
    /// Renders every step for `input`. Where `outputs` has none for a step, its output is made up by its schema: what is required, with the
    /// names of the fields in angle brackets for text.
    ///
    /// # Errors
    /// All errors of the input.
    pub fn rehearse(&self, input: Value, outputs: &Map<String, Value>) -> Result<Rehearsal, InputErrors> {
        let mut context = Context { input: self.check_input(input)?, steps: BTreeMap::new() };
        // What a step sees depends on what it needs, not on where it is written.
        for step in &self.steps {
            let made_up = || {
                let made = |schema| sample(schema, schema, &step.id, 0, &mut { SAMPLE_BYTES_MAX });
                step.output.as_ref().map_or_else(|| format!("<{}>", step.id).into(), made)
            };
            let output = outputs.get(&step.id).cloned().unwrap_or_else(made_up);
            context.steps.insert(step.id.clone(), Done { status: DoneStatus::Completed, output });
        }
        let steps = self.steps.iter().map(|step| {
            let wanted = step.is_wanted(&context);
            let request = wanted.and_then(|wanted| Ok((wanted, wanted.then(|| step.request(&context, None)).transpose()?)));
            let (wanted, request, error) = match request {
                Ok((wanted, request)) => (wanted, request, None),
                Err(error) => (true, None, Some(error.to_string())),
            };
            Rehearsed { id: step.id.clone(), wanted, request, error }
        });
        let steps = steps.collect();
        let subject = self.subject_of(&context).ok().flatten().map(|subject| subject.to_string());
        Ok(Rehearsal { input: context.input, steps, subject })
    }
}

/// The least that matches a schema, mostly.
fn sample(root: &Value, schema: &Value, name: &str, depth: usize, bytes_left: &mut u64) -> Value {
    let schema = referred(root, schema);
    let mut afford = |value: &Value| {
        let left = bytes_left.checked_sub(json_bytes(value));
        *bytes_left = left.unwrap_or_default();
        left.map_or(Value::Null, |_| value.clone())
    };
    for keyword in ["const", "default"] {
        if let Some(value) = schema.get(keyword) {
            return afford(value);
        }
    }
    if let Some(first) = schema.get("enum").and_then(|options| options.get(0)) {
        return afford(first);
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first(),
        kind => kind,
    };
    let has_fields = ["properties", "required"].into_iter().any(|keyword| schema.get(keyword).is_some());
    match kind.and_then(Value::as_str).unwrap_or(if has_fields { "object" } else { "string" }) {
        "object" => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let field = |field: &str| {
                let own = schema.get("properties").and_then(|properties| properties.get(field)).unwrap_or(&Value::Null);
                *bytes_left = bytes_left.saturating_sub(field.len() as u64 + FIELD_BYTES);
                let is_made = depth < DEPTH_MAX && *bytes_left > 0;
                let name = format!("{name}.{field}");
                let value = if is_made { sample(root, own, &name, depth + 1, bytes_left) } else { Value::Null };
                (field.to_owned(), value)
            };
            Value::Object(required.map(field).collect())
        }
        "array" => Value::Array(Vec::new()),
        "number" | "integer" => schema.get("minimum").cloned().unwrap_or_else(|| 0.into()),
        "boolean" => true.into(),
        "null" => Value::Null,
        _ => format!("<{name}>").into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::document_tests::{FULL, published};
    use super::*;

    #[test]
    fn full_plan_is_rehearsed() {
        let full = Document::parse(FULL.as_bytes(), published).unwrap();
        let input = serde_json::from_str(include_str!("../../../infra/pipelines/questionnaire.json")).unwrap();
        let outputs = Map::from_iter([("E2".to_owned(), json!({ "capacity": "of a hiker" }))]);
        let rehearsal = full.rehearse(input, &outputs).unwrap();
        assert!(rehearsal.steps.iter().all(|step| step.wanted && step.error.is_none()), "{rehearsal:#?}");
        let prompt = |id: &str| {
            let step = rehearsal.steps.iter().find(|step| step.id == id).unwrap();
            step.request.as_ref().unwrap()["prompt"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            prompt("E3"),
            r#"{"client_summary":"<E1.client_summary>"}"#.to_owned() + "\n" + r#"{"capacity":"of a hiker"}"#
        );
        assert!(prompt("N0").contains(r#"Training: "<E9.bridge_for_nutrition>""#), "{}", prompt("N0"));
        assert_eq!(rehearsal.subject.as_deref(), Some("full-plan:cliente-0042"));
        assert!(full.rehearse(json!({}), &outputs).is_err());
        let left_out = |most: u64| rehearsal.clone().bounded(most).steps.iter().filter(|step| step.request.is_none()).count();
        assert_eq!((left_out(1_000_000), left_out(0)), (0, 18));
        assert!((1..18).contains(&left_out(json_bytes(&rehearsal) / 2)));
    }

    #[test]
    fn outputs_are_made_up_by_their_schema() {
        let schema = json!({
            "type": "object", "required": ["a", "b", "c", "d", "e", "f"],
            "properties": {
                "a": { "type": "array" }, "b": { "enum": ["x", "y"] }, "c": { "type": ["integer", "null"], "minimum": 3 },
                "d": { "$ref": "#/$defs/d" }, "e": { "const": 7 }, "g": {},
            },
            "$defs": { "d": { "required": ["again", "is"], "properties": { "again": { "$ref": "#/$defs/d" }, "is": { "type": "boolean" } } } },
        });
        let made = sample(&schema, &schema, "S", 0, &mut { SAMPLE_BYTES_MAX });
        assert_eq!(
            (&made["a"], &made["b"], &made["c"], &made["e"], &made["f"]),
            (&json!([]), &json!("x"), &json!(3), &json!(7), &json!("<S.f>"))
        );
        assert_eq!(made["d"]["again"]["is"], json!(true));
        assert_eq!(made.get("g"), None);
        let names: Vec<String> = (0..50).map(|number| format!("n{number}")).collect();
        let properties: Map<String, Value> = names.iter().map(|name| (name.clone(), json!({ "$ref": "#" }))).collect();
        let wide = json!({ "required": names, "properties": properties });
        assert!(json_bytes(&sample(&wide, &wide, "S", 0, &mut { SAMPLE_BYTES_MAX })) < 2 * SAMPLE_BYTES_MAX);
    }
}
