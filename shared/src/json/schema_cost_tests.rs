//! Hostile schemas cost too much; honest ones are affordable.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const LIMIT: usize = 10_000;
const LINKS: usize = 22;

/// A chain of definitions, each of which applies `link(next)` twice.
fn chain(link: impl Fn(usize) -> Value, definition: impl Fn(usize, Value) -> Value) -> Value {
    let definitions: Map<String, Value> = (0..LINKS)
        .map(|at| (format!("a {at}"), definition(at, json!({ "anyOf": [link(at + 1), link(at + 1)] }))))
        .chain([(format!("a {LINKS}"), definition(LINKS, json!({ "type": "string" })))])
        .collect();
    json!({ "allOf": [link(0)], "$defs": definitions })
}

fn with(mut schema: Value, keyword: &str, value: String) -> Value {
    schema[keyword] = value.into();
    schema
}

fn pointer(at: usize) -> Value {
    json!({ "$ref": format!("#/$defs/a%20{at}") })
}

/// The same doubling chain, in every way that one schema can apply another to the same value.
fn doubling() -> Vec<(&'static str, Value)> {
    let plain = |_, schema| schema;
    let anchor = |keyword: &'static str| move |at: usize, schema| with(schema, keyword, format!("a{at}"));
    let relative = |at: usize| json!({ "$ref": format!("../b/a{at}") });
    let absolute = |at: usize, schema| with(schema, "$id", format!("https://example.com/b/a{at}"));
    let mut by_id = chain(relative, absolute);
    by_id["$id"] = "https://example.com/a/root".into();
    let keyed = |keyword: &'static str| move |at: usize| json!({ keyword: { "x": pointer(at) } });
    let mut draft_7 = chain(keyed("dependencies"), plain);
    draft_7["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    let draft_7_anchors = chain(|at| json!({ "$ref": format!("#a{at}") }), |at, schema| with(schema, "$id", format!("#a{at}")));
    let draft_7_anchors = serde_json::from_str(&draft_7_anchors.to_string().replace("$defs", "definitions")).unwrap();
    let draft_7_anchors = with(draft_7_anchors, "$schema", "http://json-schema.org/draft-07/schema#".into());
    let unescaped = chain(|at| json!({ "$ref": format!("#/$defs/a {at}") }), plain).to_string().replace("a ", "a");
    vec![
        ("pointer", serde_json::from_str(&unescaped).unwrap()),
        ("percent-encoded pointer", chain(pointer, plain)),
        ("$anchor", chain(|at| json!({ "$ref": format!("#a{at}") }), anchor("$anchor"))),
        ("$dynamicAnchor", chain(|at| json!({ "$ref": format!("#a{at}") }), anchor("$dynamicAnchor"))),
        ("$dynamicRef", chain(|at| json!({ "$dynamicRef": format!("#a{at}") }), anchor("$dynamicAnchor"))),
        ("$id", by_id),
        ("$id as an anchor", draft_7_anchors),
        ("dependentSchemas", chain(keyed("dependentSchemas"), plain)),
        ("dependencies", draft_7),
        ("if", chain(|at| json!({ "if": pointer(at) }), plain)),
        ("not", chain(|at| json!({ "not": pointer(at) }), plain)),
        ("oneOf", chain(|at| json!({ "oneOf": [pointer(at)] }), plain)),
        (
            "unevaluatedProperties",
            json!({
                "allOf": [pointer(0)],
                "$defs": (0..LINKS).map(|at| (
                    format!("a {at}"),
                    json!({ "anyOf": [if at + 1 < LINKS { pointer(at + 1) } else { json!(true) }], "unevaluatedProperties": false }),
                )).collect::<Map<_, _>>(),
            }),
        ),
    ]
}

#[test]
fn every_doubling_chain_is_too_expensive() {
    for (name, schema) in doubling() {
        assert_eq!(measure(&schema, LIMIT), Cost::TooHigh, "{name}");
        let affordable = measure(&schema, usize::MAX);
        assert!(matches!(affordable, Cost::AtMost(cost) if cost > 1 << LINKS), "{name}: {affordable:?}");
        assert!(jsonschema::options().offline().build(&schema).is_ok(), "{name}: a schema that the validator would run");
    }
}

/// A `$recursiveRef` may lead to any schema with a `$recursiveAnchor`.
#[test]
fn recursive_references_count_their_most_expensive_target() {
    let expensive = json!({ "anyOf": vec![json!(true); LIMIT] });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$id": "https://example.com/root",
        "$recursiveAnchor": true,
        "anyOf": [{ "$ref": "cheap" }, expensive],
        "$defs": { "cheap": { "$id": "cheap", "$recursiveAnchor": true, "properties": { "x": { "$recursiveRef": "#" } } } },
    });
    assert_eq!(measure(&schema, LIMIT), Cost::TooHigh);
    let mut cheap = schema["$defs"]["cheap"].clone();
    cheap["$schema"] = schema["$schema"].clone();
    cheap["$id"] = "https://example.com/cheap".into();
    assert_eq!(measure(&cheap, LIMIT), Cost::AtMost(2));
}

#[test]
fn ordinary_schemas_are_affordable() {
    let tree = json!({ "type": "object", "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" } } });
    let examples = [
        ("a tree refers to itself for smaller values", tree),
        ("a circle", json!({ "anyOf": [{ "$ref": "#" }, { "type": "null" }] })),
        ("values that look like references", json!({ "enum": [{ "$ref": "#/nowhere" }], "default": { "$ref": "#x" } })),
        ("a definition that nothing uses", json!({ "$defs": { "a": { "$ref": "#/nowhere" } } })),
        ("a schema under an unknown keyword", json!({ "$ref": "#/types/a", "types": { "a": { "type": "string" } } })),
        ("a draft", json!({ "$ref": "https://json-schema.org/draft/2020-12/schema" })),
    ];
    for (name, schema) in examples {
        let cost = measure(&schema, LIMIT);
        assert!(matches!(cost, Cost::AtMost(cost) if cost < 100), "{name}: {cost:?}");
        assert!(jsonschema::options().offline().build(&schema).is_ok(), "{name}");
    }
}

/// Schemas that refer to each other in circles have exponentially many paths; the measurement must end all the same.
#[test]
fn dense_circles_are_too_expensive() {
    let all: Vec<Value> = (0..16).map(|at| json!({ "$ref": format!("#/$defs/{at}") })).collect();
    let definitions: Map<String, Value> = (0..16).map(|at| (at.to_string(), json!({ "anyOf": all }))).collect();
    assert_eq!(measure(&json!({ "anyOf": all, "$defs": definitions }), LIMIT), Cost::TooHigh);
}

#[test]
fn long_chains_are_too_deep() {
    let definitions: Map<String, Value> =
        (0..REFERENCES_MAX - 1).map(|at| (format!("a{at}"), json!({ "$ref": format!("#/$defs/a{}", at + 1) }))).collect();
    assert_eq!(measure(&json!({ "$ref": "#/$defs/a0", "$defs": definitions }), LIMIT), Cost::TooHigh);
}

#[test]
fn unknown_references_are_not_taken_for_cheap() {
    for reference in ["#nowhere", "#/nowhere", "nowhere", "https://example.com/x.json", "#/%"] {
        let cost = measure(&json!({ "properties": { "x": { "$ref": reference } } }), LIMIT);
        assert!(matches!(cost, Cost::Unresolved(_)), "{reference}: {cost:?}");
    }
}

/// A schema whose references lead to later definitions only, in one of the ways that a reference can be written.
fn document() -> impl Strategy<Value = Value> {
    const DEFINITIONS: usize = 5;
    const LISTS: [&str; 3] = ["anyOf", "allOf", "oneOf"];
    const SINGLES: [&str; 4] = ["not", "if", "items", "unevaluatedItems"];
    fn schema(from: usize) -> BoxedStrategy<Value> {
        let leaf = prop_oneof![Just(json!(true)), Just(json!({ "type": "string" }))];
        let link = (from..DEFINITIONS, 0..3_usize).prop_map(|(at, way)| match way {
            0 => json!({ "$ref": format!("#/$defs/a%22{at}") }),
            1 => json!({ "$ref": format!("#a{at}") }),
            _ => json!({ "$ref": format!("https://example.com/root#a{at}") }),
        });
        let leaf = if from < DEFINITIONS { prop_oneof![leaf, link].boxed() } else { leaf.boxed() };
        let nested = leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                (prop::sample::select(&LISTS[..]), prop::collection::vec(inner.clone(), 1..3))
                    .prop_map(|(word, all)| json!({ word: all })),
                (prop::sample::select(&SINGLES[..]), inner.clone()).prop_map(|(word, one)| json!({ word: one })),
                inner.prop_map(|one| json!({ "dependentSchemas": { "x": one } })),
            ]
        });
        nested.boxed()
    }
    let definitions: Vec<_> = (0..DEFINITIONS).map(|at| schema(at + 1)).collect();
    (schema(0), definitions).prop_map(|(root, definitions)| {
        let definition =
            |(at, schema): (usize, Value)| (format!("a\"{at}"), json!({ "$anchor": format!("a{at}"), "allOf": [schema] }));
        let definitions: Map<String, Value> = definitions.into_iter().enumerate().map(definition).collect();
        json!({ "$id": "https://example.com/root", "allOf": [root], "$defs": definitions })
    })
}

proptest! {
    #[test]
    fn a_reference_costs_no_less_than_its_target_in_its_place(document in document()) {
        let inlined = jsonschema::options().offline().dereference(&document).unwrap();
        let (cost, inlined) = (measure(&document, usize::MAX), measure(&inlined, usize::MAX));
        let (Cost::AtMost(cost), Cost::AtMost(inlined)) = (&cost, &inlined) else { panic!("{cost:?}, {inlined:?}") };
        prop_assert!(cost >= inlined, "{cost} < {inlined}");
    }
}
