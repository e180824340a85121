//! What publishing refuses, each at its place, and what it accepts.

use proptest::prelude::*;
use serde_json::json;

use super::super::document_tests::published;
use super::*;

/// A sound document of two steps.
fn sound() -> Value {
    json!({
        "longhand": "pipeline/1", "name": "p",
        "input": { "type": "object", "properties": { "a": { "type": "object", "properties": { "b": {} } }, "c": { "type": "string" } } },
        "phases": { "one": "One" },
        "defaults": { "model": "m" },
        "prompts": { "shared": "{{ before() | json }}" },
        "steps": [
            { "id": "A", "phase": "one", "prompt": "{{ input.a.b }}", "output": { "type": "object", "properties": { "x": {} } } },
            { "id": "B", "prompt": { "ref": "shared" } },
        ],
        "result": { "r": "steps.B.output" },
    })
}

/// The sound document with other values at these pointers. Null: without the field.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut document = sound();
    for (pointer, value) in changes {
        let (around, name) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(around).unwrap() {
            Value::Array(items) => {
                let index: usize = name.parse().unwrap();
                items.resize(items.len().max(index + 1), Value::Null);
                items[index] = value.clone();
            }
            Value::Object(fields) if value.is_null() => drop(fields.shift_remove(name)),
            Value::Object(fields) => drop(fields.insert((*name).to_owned(), value.clone())),
            other => panic!("{pointer}: {other}"),
        }
    }
    document
}

fn violations(document: &Value) -> Vec<(String, String)> {
    let told = |violation: Violation| (violation.path, violation.message);
    Document::from_value(document, published).map_or_else(|found| found.into_iter().map(told).collect(), |_| vec![])
}

#[test]
fn sound_documents_are_accepted() {
    for document in [
        sound(),
        with(&[("/steps/1/needs", json!([]))]),
        with(&[("/steps/0/needs", json!(["B"])), ("/steps/1/needs", json!([]))]),
        with(&[("/steps/1/when", json!("steps.A.output.x and input.a is defined"))]),
        with(&[("/steps/0/output", json!({ "type": "object" })), ("/steps/1/when", json!("steps.A.output.unlisted.deep"))]),
        with(&[("/steps/0/prompt", json!("{{ input.a.unlisted }}"))]),
        with(&[("/checks", json!([{ "expression": "result.r and steps.A.output", "message": "m" }]))]),
        with(&[("/subject", json!("s:{{ input.c }}:{{ steps.A.output.x }}"))]),
        with(&[("/input", Value::Null), ("/steps/0/prompt", json!("{{ input.anything.goes }}"))]),
        with(&[("/limits", json!({ "timeout": "24h", "max_parallel": 16, "max_cost": 1 }))]),
        with(&[("/steps/0/output", json!(null)), ("/steps/1/timeout", json!(30))]),
    ] {
        assert_eq!(violations(&document), [], "{document}");
    }
}

/// What is changed in the sound document; and where a violation is told, and a part of what it says.
type Case = (Vec<(&'static str, Value)>, &'static str, &'static str);

/// Tells each violation at its place, and no host of others with it.
fn check_each(cases: Vec<Case>) {
    for (changes, path, message) in cases {
        let found = violations(&with(&changes));
        let is_told = found.iter().any(|(at, told)| at.starts_with(path) && told.contains(message));
        assert!(is_told, "{changes:?}\nexpected {path}: {message}\nfound {found:#?}");
        assert!(found.len() <= 2, "{changes:?}\nfound {found:#?}");
    }
}

#[test]
fn form_is_checked() {
    check_each(vec![
        (vec![("/longhand", json!("pipeline/2"))], "/longhand", "must be \"pipeline/1\""),
        (vec![("/name", json!("Not a name"))], "/name", "pattern"),
        (vec![("/name", Value::Null)], "/name", "is required"),
        (vec![("/novelty", json!(1))], "/novelty", "is not a known field"),
        (vec![("/steps", json!([]))], "/steps", "must not be empty"),
        (vec![("/steps/0/novelty", json!(1))], "/steps/0/novelty", "is not a known field"),
        (vec![("/steps/0/stream", json!(true))], "/steps/0/stream", "is not a known field"),
        (vec![("/steps/0/max_attempts", json!(2))], "/steps/0/max_attempts", "is not a known field"),
        (vec![("/steps/0/temperature", json!(3))], "/steps/0/temperature", "must be at most 2"),
        (vec![("/defaults/retries", json!(11))], "/defaults/retries", "must be at most 10"),
        (vec![("/defaults/retry_on", json!(["weather"]))], "/defaults/retry_on/0", "must be one of"),
        (vec![("/steps/0/timeout", json!("5 minutes"))], "/steps/0/timeout", "pattern"),
        (vec![("/steps/0/timeout", json!(0))], "/steps/0/timeout", "at least 1"),
        (vec![("/steps/0/timeout", json!("25h"))], "/steps/0/timeout", "at most 24 hours"),
        (vec![("/limits", json!({ "timeout": "99999h" }))], "/limits/timeout", "at most 24 hours"),
        (vec![("/limits", json!({ "max_parallel": 17 }))], "/limits/max_parallel", "must be at most 16"),
        (vec![("/steps/0/prompt", json!(7))], "/steps/0/prompt", "must be a string or an object"),
        (vec![("/result", json!({ "r": 7 }))], "/result/r", "must be a string or an object"),
    ]);
}

#[test]
fn steps_are_checked() {
    check_each(vec![
        (vec![("/steps/0/id", json!("a-b"))], "/steps/0/id", "pattern"),
        (vec![("/steps/1/id", json!("A"))], "/steps/1/id", "must be different"),
        (vec![("/steps/1/needs", json!(["Z"]))], "/steps/1/needs/0", "there is no `Z`"),
        (vec![("/steps/0/needs", json!(["B"]))], "/steps/0/needs", "A → B → A"),
        (vec![("/steps/0/needs", json!(["A"]))], "/steps/0/needs", "A → A"),
        (vec![("/steps/0/phase", json!("two"))], "/steps/0/phase", "must be one of `phases`"),
        (vec![("/steps/0/part", json!("x"))], "/steps/0/part", "must be one of `parts`"),
        (vec![("/steps/0/prompt", Value::Null)], "/steps/0/prompt", "is required"),
        (vec![("/steps/0/messages", json!([{ "role": "user", "content": "x" }]))], "/steps/0/messages", "together"),
        (vec![("/defaults/model", Value::Null)], "/steps/1/model", "is required"),
        (vec![("/steps/0/response_format", json!({ "type": "text" }))], "/steps/0/response_format", "together with `output`"),
        (vec![("/steps/1/feedback", json!(true))], "/steps/1/feedback", "needs an `output`"),
        (vec![("/steps/1/prompt/ref", json!("lost"))], "/steps/1/prompt/ref", "those are shared"),
        (vec![("/input", json!({ "type": "array" }))], "/input/type", "must be `object`"),
        (vec![("/input/properties/c/type", json!("text"))], "/input/properties/c/type", "must be the name of a type"),
        (vec![("/steps/0/output/properties/x", json!({ "pattern": "(a)\\1" }))], "/steps/0/output", "regular expression"),
        (vec![("/steps/0/output", json!({ "$ref": "https://example.com/x" }))], "/steps/0/output", "nothing is fetched"),
    ]);
}

#[test]
fn templates_are_checked() {
    check_each(vec![
        (vec![("/steps/0/prompt", json!("{{ input.a"))], "/steps/0/prompt", "must be a template"),
        (vec![("/steps/0/prompt", json!("{% include 'x' %}"))], "/steps/0/prompt", "unknown statement include"),
        (vec![("/steps/0/prompt", json!("{{ input.a | upper }}"))], "/steps/0/prompt", "no filter `upper`"),
        (vec![("/steps/0/prompt", json!("{{ range(3) }}"))], "/steps/0/prompt", "`range` cannot be called"),
        (vec![("/steps/0/prompt", json!("{{ input.a[1:2] }}"))], "/steps/0/prompt", "cannot be cut out"),
        (vec![("/steps/0/prompt", json!("{% if input.a is string %}{% endif %}"))], "/steps/0/prompt", "no test `string`"),
        (vec![("/steps/0/system", json!("{{ nope }}"))], "/steps/0/system", "`nope`, which is not known"),
        (vec![("/defaults/system", json!("{{ nope }}"))], "/defaults/system", "`nope`, which is not known"),
        (vec![("/prompts/shared", json!("{{ x | upper }}"))], "/prompts/shared", "no filter `upper`"),
        (vec![("/prompts/unused", json!("{{"))], "/prompts/unused", "must be a template"),
        (vec![("/prompts/shared", json!("{{ nope }}"))], "/steps/1/prompt", "`nope`, which is not known"),
        (vec![("/steps/1/when", json!("input.c |"))], "/steps/1/when", "must be an expression"),
        (vec![("/steps/1/when", json!("input.c | length"))], "/steps/1/when", "no filter `length`"),
        (vec![("/steps/1/when", json!("result.r"))], "/steps/1/when", "`result.r`, which is not known"),
    ]);
}

#[test]
fn names_are_checked() {
    check_each(vec![
        (vec![("/steps/0/prompt", json!("{{ input.b }}"))], "/steps/0/prompt", "the input's schema has no `b`"),
        (vec![("/steps/0/prompt", json!("{{ input.c.d }}"))], "/steps/0/prompt", "the input's schema has no `d`"),
        (vec![("/steps/0/prompt", json!("{{ steps.B.output }}"))], "/steps/0/prompt", "`B`, which is not before it"),
        (vec![("/steps/0/prompt", json!("{{ steps.Z.output }}"))], "/steps/0/prompt", "`Z`, and there is none"),
        (vec![("/steps/0/prompt", json!("{{ steps | json }}"))], "/steps/0/prompt", "must name a step"),
        (vec![("/steps/0/prompt", json!("{{ steps['A'].output }}"))], "/steps/0/prompt", "must name a step"),
        (vec![("/steps/1/prompt", json!("{{ steps.A.output.y }}"))], "/steps/1/prompt", "the output of `A` has no `y`"),
        (vec![("/steps/1/prompt", json!("{{ steps.A.text }}"))], "/steps/1/prompt", "no `text`"),
        (vec![("/steps/1/prompt", json!("{{ step.number }}"))], "/steps/1/prompt", "`id`, `title` and `phase`"),
        (
            vec![("/steps/1/needs", json!([])), ("/steps/1/prompt", json!("{{ steps.A.output }}"))],
            "/steps/1/prompt",
            "not before it",
        ),
        (vec![("/result/r", json!("steps.Z.output"))], "/result/r", "`Z`, and there is none"),
        (vec![("/result/r", json!("steps.A.output.y"))], "/result/r", "has no `y`"),
        (vec![("/result/r", json!("steps.A"))], "/result/r", "must be a path"),
        (vec![("/result/r", json!("steps..A"))], "/result/r", "must be a path"),
        (vec![("/result/r", json!({ "s": "nope" }))], "/result/r/s", "must be a path"),
        (vec![("/checks", json!([{ "expression": "r", "message": "m" }]))], "/checks/0/expression", "`r`, which is not known"),
        (vec![("/checks", json!([{ "expression": "before()", "message": "m" }]))], "/checks/0/expression", "not known"),
        (vec![("/subject", json!("{{ input.z }}"))], "/subject", "no `z`"),
        (vec![("/subject", json!("{{ step.id }}"))], "/subject", "not known"),
    ]);
}

#[test]
fn parts_are_checked() {
    check_each(vec![
        (vec![("/steps/2", json!({ "use": "lost" }))], "/steps/2/use", "there is no `lost`"),
        (vec![("/steps/2", json!({ "use": "edn360-training" }))], "/steps/2/with/submission", "is required"),
        (
            vec![("/steps/2", json!({ "use": "edn360-training", "with": { "submission": "input.a", "other": "input.a" } }))],
            "/steps/2/with/other",
            "is not in the input of `edn360-training`",
        ),
        (
            vec![("/steps/2", json!({ "use": "edn360-training", "with": { "submission": "nope" } }))],
            "/steps/2/with/submission",
            "must be a path",
        ),
        (
            vec![("/steps/2", json!({ "use": "edn360-training", "needs": [], "with": { "submission": "steps.A.output" } }))],
            "/steps/2/with/submission",
            "`A`, which is not before it",
        ),
        (
            vec![
                ("/steps/2", json!({ "use": "edn360-training", "with": { "submission": "input.a" } })),
                ("/steps/3", json!({ "use": "edn360-training", "with": { "submission": "input.a" } })),
            ],
            "/steps/3/use",
            "must be used once",
        ),
        (
            vec![
                ("/steps/1/id", json!("E5")),
                ("/result", Value::Null),
                ("/steps/2", json!({ "use": "edn360-training", "with": { "submission": "input.a" } })),
            ],
            "/steps/2/use",
            "`E5` as well",
        ),
        (
            vec![
                ("/steps/2", json!({ "use": "edn360-training", "with": { "submission": "input.a" } })),
                ("/result/r", json!("edn360-training.result.lost")),
            ],
            "/result/r",
            "has no `lost`",
        ),
        (vec![("/steps/2", json!({ "use": "edn360-training", "when": "input.a" }))], "/steps/2/when", "is not a known field"),
        (
            vec![("/parts", json!({ "x": { "of": "x", "sha256": "", "input": {}, "with": {} } })), ("/steps/0/part", json!("x"))],
            "/parts/x/of",
            "must be the part before",
        ),
    ]);
}

#[test]
fn all_violations_are_told_at_once() {
    let document = with(&[
        ("/novelty", json!(1)),
        ("/steps/0/temperature", json!(3)),
        ("/steps/0/prompt", json!("{{ input.b }}")),
        ("/steps/1/needs", json!(["Z"])),
        ("/steps/1/when", json!("x | y")),
        ("/result/r", json!("nope")),
        ("/subject", json!("{{")),
    ]);
    let paths: Vec<String> = violations(&document).into_iter().map(|(path, _)| path).collect();
    for path in
        ["/novelty", "/steps/0/temperature", "/steps/0/prompt", "/steps/1/needs/0", "/steps/1/when", "/result/r", "/subject"]
    {
        assert!(paths.contains(&path.to_owned()), "{path} in {paths:?}");
    }
}

#[test]
fn documents_are_bounded() {
    let steps = |count: usize| {
        let step = |index: usize| json!({ "id": format!("S{index}"), "prompt": "x" });
        with(&[("/steps", (0..count).map(step).collect()), ("/result", Value::Null)])
    };
    assert_eq!(violations(&steps(PIPELINE_STEPS_MAX)), []);
    assert!(violations(&steps(PIPELINE_STEPS_MAX + 1)).iter().any(|(path, _)| path == "/steps"));
    // As many violations as it has names, each as long as it may be.
    let names: Vec<String> = (0..5_000).map(|number| format!("{{{{ {}{number} }}}}", "n".repeat(20))).collect();
    let found = violations(&with(&[("/steps/0/prompt", json!(names.concat()))]));
    assert_eq!(found.len(), 50);
    let found = violations(&with(&[("/steps/0/prompt", json!(format!("{{{{ {} }}}}", "n".repeat(100_000))))]));
    assert!(found.len() == 1 && found[0].1.chars().count() == 401, "{found:?}");
    // Small as it is written, large with what its steps share.
    let mut shared = steps(PIPELINE_STEPS_MAX);
    shared["defaults"]["system"] = json!("x".repeat(PIPELINE_BYTES_MAX / PIPELINE_STEPS_MAX));
    let found = violations(&shared);
    assert!(found.iter().any(|(path, told)| path.is_empty() && told.contains("at most 262144 bytes")), "{found:?}");
    let text = format!("{}{}", sound(), " ".repeat(PIPELINE_BYTES_MAX));
    assert_eq!(Document::parse(text.as_bytes(), published).unwrap_err()[0].path, "");
}

#[test]
fn deployment_is_asked_for_providers_limits_and_prices() {
    let document = with(&[
        ("/limits", json!({ "max_cost": 1 })),
        ("/steps/0/provider", json!("nobody")),
        ("/steps/1/timeout", json!("2h")),
        ("/steps/1/max_output_bytes", json!(2_000)),
        ("/steps/1/on_schema_violation", json!("stop")),
    ]);
    let document = Document::from_value(&document, published).unwrap();
    let rules =
        RequestRules { providers: vec!["openai"], responses_providers: vec![], max_output_bytes: 1_000, timeout_seconds: 600 };
    let told = |found: Vec<Violation>| found.into_iter().map(|violation| violation.path).collect::<Vec<_>>();
    let found = told(document.check_deployment(&rules, &Prices::default()));
    assert_eq!(found, ["/steps/0/provider", "/steps/1/max_output_bytes", "/steps/1/timeout", "/steps/1/on_schema_violation"]);
    let bounded = Document::from_value(&with(&[("/steps/1/max_cost", json!(5))]), published).unwrap();
    assert_eq!(told(bounded.check_deployment(&rules, &Prices::default())), ["/steps/1/model"]);
    let prices = Prices::parse(Some(r#"{"openai":{"m":{"input":75000,"output":300000}}}"#)).unwrap();
    assert_eq!(told(bounded.check_deployment(&rules, &prices)), Vec::<String>::new());
}

#[test]
fn settings_of_steps_are_those_of_generations() {
    let text = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let pipeline = text(include_str!("../../../infra/schemas/pipeline.schema.json"));
    let request = text(include_str!("../../../infra/schemas/generation-request.schema.json"));
    let no_settings = [
        "prompt",
        "messages",
        "instructions",
        "stream",
        "max_attempts",
        "timeout",
        "notify",
        "subject",
        "change_reason",
        "validation",
    ];
    let own = ["retries", "retry_on", "timeout", "feedback", "on_error", "max_cost", "output", "system"];
    for place in ["/definitions/step/properties", "/properties/defaults/properties"] {
        let fields = pipeline.pointer(place).unwrap().as_object().unwrap();
        for (name, schema) in request["properties"].as_object().unwrap() {
            let is_setting = !no_settings.contains(&name.as_str());
            let is_told = ["prompt", "messages", "timeout"].contains(&name.as_str()) || !fields.contains_key(name);
            assert!(if is_setting { fields.get(name) == Some(schema) } else { is_told }, "{place}/{name}");
        }
        for name in own {
            assert!(fields.contains_key(name), "{place}/{name}");
        }
    }
}

proptest! {
    /// A document is accepted if, and only if, its steps can be put in an order; and its canonical form is the same document.
    #[test]
    fn steps_that_can_be_ordered_are_accepted(needs in prop::collection::vec(prop::collection::btree_set(0_usize..12, 0..4), 1..12)) {
        let count = needs.len();
        let name = |index: usize| format!("S{}", index % count);
        let step = |(index, needs): (usize, &BTreeSet<usize>)| {
            let needs: BTreeSet<String> = needs.iter().map(|need| name(*need)).collect();
            json!({ "id": name(index), "needs": needs, "prompt": "x" })
        };
        let document = with(&[("/steps", needs.iter().enumerate().map(step).collect()), ("/result", Value::Null)]);
        let mut left: BTreeMap<usize, BTreeSet<usize>> =
            needs.iter().enumerate().map(|(index, needs)| (index, needs.iter().map(|need| need % count).collect())).collect();
        while let Some(free) = left.iter().find(|(_, needs)| needs.iter().all(|need| !left.contains_key(need))).map(|(free, _)| *free) {
            left.remove(&free);
        }
        let parsed = Document::from_value(&document, published);
        prop_assert_eq!(parsed.is_ok(), left.is_empty());
        if let Ok(parsed) = parsed {
            let again = Document::parse_json(&parsed.canonical(), |_| None).unwrap();
            prop_assert_eq!(again.canonical(), parsed.canonical());
            for step in &parsed.steps {
                prop_assert!(!step.place.ancestors.contains(&step.id));
                prop_assert!(step.needs.iter().all(|need| step.place.ancestors.contains(need)));
            }
        }
    }

    /// Whatever is changed in a document, it is accepted or refused; what is accepted can be stored and read.
    #[test]
    fn any_document_is_taken_or_told(
        place in 0_usize..60,
        value in prop_oneof![
            Just(json!(null)), Just(json!(7)), Just(json!(-1.5)), Just(json!("")), Just(json!([])), Just(json!({})), Just(json!([{}])),
            Just(json!("{{ steps.A.output }}")), Just(json!({ "use": "edn360-training" })), Just(json!(["A", "edn360-nutrition"])),
            "[a-z{}%|.\\[\\]() '\"]{0,16}".prop_map(Value::from),
        ],
    ) {
        fn places(value: &Value, at: &str, found: &mut Vec<String>) {
            let children: Vec<(String, &Value)> = match value {
                Value::Object(fields) => fields.iter().map(|(name, child)| (escaped(name), child)).collect(),
                Value::Array(items) => items.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
                _ => vec![],
            };
            for (name, child) in children {
                let at = format!("{at}/{name}");
                places(child, &at, found);
                found.push(at);
            }
        }
        let mut document = with(&[("/steps/2", json!({ "use": "edn360-nutrition", "with": { "submission": "input.a", "bridge": "steps.A.output" } }))]);
        let mut all = Vec::new();
        places(&document, "", &mut all);
        let at = all[place % all.len()].clone();
        *document.pointer_mut(&at).unwrap() = value;
        match Document::from_value(&document, published) {
            Ok(parsed) => prop_assert_eq!(Document::from_canonical(&parsed.canonical()).unwrap(), parsed),
            Err(found) => prop_assert!(!found.is_empty()),
        }
    }

    #[test]
    fn any_text_is_taken_or_told(text in "[ -~\n]{0,60}", tail in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = Document::parse(text.as_bytes(), published);
        let _ = Document::parse(&tail, published);
        let _ = strangers(&text, Kind::Template);
        let _ = strangers(&text, Kind::Expression);
    }
}
