//! Documents of pipelines, and their templates and expressions.

use std::collections::BTreeMap;

use longhand::limits::PROMPT_BYTES_MAX;
use longhand::pipelines::{Context, Document, Done, DoneStatus};
use serde_json::{Map, Value, json};

use crate::split;

/// A document is refused with violations, or has a canonical form that is the same document; a template is refused, or makes a text or an
/// error of any run.
pub fn pipeline(data: &[u8]) {
    let (selector, text) = split(data);
    let Ok(text) = std::str::from_utf8(text) else { return };
    match selector % 3 {
        0 => document(text),
        1 => run(&json!({ "id": "B", "prompt": text })),
        _ => run(&json!({ "id": "B", "prompt": "x", "when": text })),
    }
}

fn document(text: &str) {
    match Document::parse(text.as_bytes(), |_| None) {
        Err(violations) => assert!(violations.iter().all(|violation| !violation.message.is_empty()) && !violations.is_empty()),
        Ok(document) => {
            let again = Document::parse_json(&document.canonical(), |_| None).expect("a canonical form is a document");
            assert_eq!(again, document);
            let _ = document.rehearse(json!({}), &Map::new());
        }
    }
}

/// Renders a second step, behind one whose output looks like a template.
fn run(second: &Value) {
    let document = json!({
        "longhand": "pipeline/1", "name": "p", "defaults": { "model": "m" }, "input": { "properties": { "a": {}, "list": {} } },
        "steps": [{ "id": "A", "prompt": "x" }, second],
    });
    let Ok(document) = Document::from_value(&document, |_| None) else { return };
    for output in [Value::Null, json!("{{ 7*7 }}"), json!({ "a": ["{% include 'x' %}", 1.5, null] })] {
        let done = Done { status: DoneStatus::Completed, output };
        let context = Context { input: json!({ "a": "α", "list": [1, true] }), steps: BTreeMap::from([("A".to_owned(), done)]) };
        let step = &document.steps[1];
        let _ = step.is_wanted(&context);
        if let Ok(request) = step.request(&context, None) {
            assert!(request["prompt"].as_str().is_some_and(|prompt| prompt.len() <= PROMPT_BYTES_MAX));
        }
    }
}
