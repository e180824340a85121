//! The check, on documents that keep their schema, and on documents with one thing in them that cannot be mended.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json::partial::tests::json_value;
use crate::json::schema::Schema;

/// Where, in characters of text, the violation is told, and what it says.
fn told(schema: &Value, text: &str) -> Option<(usize, Violation)> {
    let mut checker = Checker::new(schema);
    text.char_indices().find_map(|(at, character)| {
        let violation = checker.feed(character.encode_utf8(&mut [0; 4]))?;
        Some((at + character.len_utf8(), violation))
    })
}

fn fenced(text: &str) -> String {
    format!("Aquí:\n```json\n{text}\n```\n")
}

/// A schema that `value` keeps, with whatever keywords `dice` chooses.
fn schema_of(value: &Value, dice: &mut fastrand::Rng) -> Value {
    let mut schema = match value {
        Value::Null => json!({ "type": dice.choice([json!("null"), json!(["string", "null"])]) }),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(number) => json!({
            "type": if number.is_f64() { "number" } else { dice.choice(["integer", "number"]).unwrap() },
            "minimum": number, "maximum": number,
        }),
        Value::String(text) => {
            let chars = text.chars().count();
            json!({ "type": "string", "minLength": dice.usize(0..=chars), "maxLength": chars + dice.usize(0..3), "enum": [text, "or"] })
        }
        Value::Array(items) => {
            let each: Vec<Value> = items.iter().map(|item| schema_of(item, dice)).collect();
            let each = if each.is_empty() { json!({ "type": "string" }) } else { json!({ "anyOf": each }) };
            json!({ "type": "array", "items": each, "minItems": items.len(), "maxItems": items.len() + dice.usize(0..2) })
        }
        Value::Object(fields) => {
            let properties: serde_json::Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), schema_of(value, dice))).collect();
            let required: Vec<&String> = fields.keys().filter(|_| dice.bool()).collect();
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": dice.bool() })
        }
    };
    let keywords: Vec<String> = schema.as_object().unwrap().keys().cloned().collect();
    for keyword in keywords.iter().filter(|_| dice.u8(0..4) == 0) {
        // `additionalProperties: false` without all `properties` would refuse what is there.
        let is_needed = keyword == "properties" && schema["additionalProperties"] == false;
        if !is_needed {
            schema.as_object_mut().unwrap().remove(keyword);
        }
    }
    match dice.u8(0..6) {
        0 => json!({ "allOf": [schema, {}, true] }),
        1 => json!({ "anyOf": [{ "type": "null" }, schema, { "not": {} }] }),
        2 => json!({ "if": schema, "else": false }),
        _ => schema,
    }
}

/// A value that breaks a schema: schema, text, the byte of it at which that is certain, and the path.
#[derive(Debug, Clone)]
struct Planted {
    schema: Value,
    broken: String,
    certain: usize,
    path: String,
    valid: String,
    kind: &'static str,
}

fn plants() -> Vec<Planted> {
    let plant = |kind, schema: Value, valid: &str, broken: &str, certain: usize, path: &str| {
        let (valid, broken, path) = (valid.to_owned(), broken.to_owned(), path.to_owned());
        Planted { schema, broken, certain, path, valid, kind }
    };
    vec![
        plant("string", json!({ "type": "integer" }), "7", "\"7\"", 1, ""),
        plant("object", json!({ "type": ["array", "null"] }), "[]", "{}", 1, ""),
        plant("number", json!({ "type": "integer" }), "1.50e1", "1.5", 4, ""),
        plant("number", json!({ "minimum": 10 }), "12", "-1e1", 5, ""),
        plant("number", json!({ "exclusiveMaximum": 10 }), "9.99", "10", 3, ""),
        plant("boolean", json!({ "const": true }), "true", "false", 5, ""),
        plant("null", json!({ "enum": ["a", 1] }), "1", "null", 4, ""),
        plant("string", json!({ "enum": ["ab", "abc"] }), "\"abc\"", "\"a\"", 3, ""),
        plant("string", json!({ "pattern": "^[a-z]+$" }), "\"abc\"", "\"ab\\u0041\"", 10, ""),
        plant("string", json!({ "type": "string", "format": "date" }), "\"2026-11-21\"", "\"2026-11-31\"", 12, ""),
        plant("string", json!({ "maxLength": 2 }), "\"é\\ud83d\\ude00\"", "\"é\\ud83d\\ude00\\n and more\"", 17, ""),
        plant("string", json!({ "minLength": 2 }), "\"ab\"", "\"\\ud83d\\ude00\"", 14, ""),
        plant("array", json!({ "maxItems": 1 }), "[[]]", "[[], 2, 3]", 6, ""),
        plant("array", json!({ "minItems": 2 }), "[1, 2]", "[1 ]", 4, ""),
        plant("array", json!({ "items": { "type": "string" } }), "[\"a\"]", "[\"a\", null]", 7, "/1"),
        plant("object", json!({ "required": ["a", "b"] }), "{\"a\": 1, \"b\": 2}", "{\"a\": 1}", 8, "/b"),
        plant("object", json!({ "properties": { "a": false } }), "{}", "{\"a\": 1}", 7, "/a"),
        plant(
            "object",
            json!({ "properties": { "a": {} }, "additionalProperties": false }),
            "{\"a\": 1}",
            "{\"x/y\" : 1}",
            6,
            "/x~1y",
        ),
        plant("object", json!({ "additionalProperties": { "type": "null" } }), "{\"a\": null}", "{\"é\": 1}", 8, "/é"),
    ]
}

/// One layer around it.
fn wrapped(inner: Planted, dice: &mut fastrand::Rng) -> Planted {
    let Planted { schema, broken, certain, path, valid, kind } = inner;
    let kept = (schema.clone(), broken.clone(), path.clone(), valid.clone());
    let around = |schema: Value, before: String, after: &str, at: &str, valid: String, kind| Planted {
        schema,
        certain: before.len() + certain,
        broken: format!("{before}{}{after}", kept.1),
        path: format!("{at}{}", kept.2),
        valid,
        kind,
    };
    match dice.u8(0..8) {
        0 | 1 => {
            let schema = json!({ "type": "object", "properties": { "n\"": schema }, "required": ["n\""] });
            around(
                schema,
                "{\"other\": [1, {}], \"n\\\"\" :\n ".into(),
                ", \"z\": \"}\"}",
                "/n\"",
                format!("{{\"n\\\"\": {valid}}}"),
                "object",
            )
        }
        2 | 3 => {
            let schema = json!({ "type": "array", "items": schema });
            around(schema, format!("[{valid}, {valid} ,"), " ]", "/2", format!("[{valid}]"), "array")
        }
        4 => around(json!({ "allOf": [true, schema] }), String::new(), "", "", valid, kind),
        5 => {
            let others: Vec<&str> =
                ["null", "boolean", "number", "string", "array", "object"].into_iter().filter(|other| *other != kind).collect();
            around(json!({ "anyOf": [{ "type": others }, schema] }), String::new(), "", "", valid, kind)
        }
        6 => around(json!({ "oneOf": [false, schema] }), String::new(), "", "", valid, kind),
        _ => around(json!({ "$comment": "as it is", "allOf": [{}], "anyOf": [schema] }), String::new(), "", "", valid, kind),
    }
}

fn referring(schema: &Value) -> Value {
    json!({ "$defs": { "a/b": schema, "self": { "$ref": "#/$defs/self" } }, "$ref": "#/$defs/a~1b" })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn nothing_is_reported_while_a_valid_document_is_written(value in json_value(), seed: u64, pretty: bool) {
        let schema = schema_of(&value, &mut fastrand::Rng::with_seed(seed));
        prop_assert_eq!(Schema::compile(&schema).unwrap().errors(&value), []);
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        prop_assert_eq!(told(&schema, &text), None, "{}", schema);
        prop_assert_eq!(told(&schema, &fenced(&text)), None, "{}", schema);
        prop_assert_eq!(told(&referring(&schema), &fenced(&text)), None, "{}", schema);
    }

    #[test]
    fn what_cannot_be_mended_is_reported_as_soon_as_that_is_certain(
        plant in prop::sample::select(plants()), seed: u64, layers in 0usize..5, refers: bool, pieces in 1usize..40,
    ) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let planted = (0..layers).fold(plant, |inner, _| wrapped(inner, &mut dice));
        let schema = if refers { referring(&planted.schema) } else { planted.schema.clone() };
        let compiled = Schema::compile(&schema).unwrap();
        prop_assert_eq!(compiled.errors(&serde_json::from_str(&planted.valid).unwrap()), [], "{:?}", planted);
        prop_assert!(!compiled.errors(&serde_json::from_str(&planted.broken).unwrap()).is_empty(), "{:?}", planted);
        prop_assert_eq!(told(&schema, &fenced(&planted.valid)), None, "{:?}", planted);

        let text = fenced(&planted.broken);
        let before = text.find("json\n").unwrap() + 5;
        let (at, violation) = told(&schema, &text).unwrap();
        prop_assert_eq!(at - before, planted.certain, "{:?}: {:?}", planted, violation);
        prop_assert_eq!(&violation.path, &planted.path, "{:?}", planted);

        let mut checker = Checker::new(&schema);
        let characters: Vec<char> = text.chars().collect();
        let in_pieces: Vec<Violation> =
            characters.chunks(pieces).filter_map(|piece| checker.feed(&piece.iter().collect::<String>())).collect();
        prop_assert_eq!(in_pieces, [violation], "the same in pieces, once");
    }
}

#[test]
fn bare_json_is_judged_once_it_is_past_doubt() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
    let told = |text: &str| told(&schema, text).map(|(at, violation)| (at, violation.path, violation.message));
    assert_eq!(told("{\"a\": \"x\"}"), Some((7, "/a".into(), "must be an integer".into())));
    assert_eq!(told("[{\"a\": 1}]"), Some((5, String::new(), "must be an object".into())), "at the first name");
    assert_eq!(told("[1, 2]"), Some((3, String::new(), "must be an object".into())), "or the first comma");
    for prose in ["[1] says:\n```json\n{\"a\": 1}\n```", "no", "12 things", "- one", "\"Well\", she said", "true"] {
        assert_eq!(told(prose), None, "{prose}");
    }
    assert_eq!(told("[1] says:\n```\n{\"a\": 1.5 }"), Some((24, "/a".into(), "must be an integer".into())));
}

#[test]
fn a_text_that_begins_anew_is_judged_anew() {
    let mut checker = Checker::new(&json!({ "required": ["b"] }));
    assert_eq!(checker.feed("{\"a\": {"), None);
    checker.restart();
    assert_eq!(checker.feed("{\"b\": 1}"), None);
    checker.restart();
    assert_eq!(checker.feed("{\"a\": 1}").unwrap().path, "/b");
    assert_eq!(checker.feed(" "), None, "once");
}

#[test]
fn a_schema_that_goes_in_circles_or_is_huge_costs_little() {
    let circle = json!({ "allOf": [{ "anyOf": vec![json!({ "$ref": "#" }); 50] }, { "type": "string" }] });
    assert_eq!(told(&circle, &format!("[{}\"a\"]", "\"a\",".repeat(1_000))), None, "it is left to the end");
    let properties: serde_json::Map<String, Value> =
        (0..10_000).map(|number| (format!("p{number}"), json!({ "type": "string", "minLength": 1 }))).collect();
    let huge = json!({ "properties": properties, "additionalProperties": false });
    assert_eq!(told(&huge, "{\"p9999\": \"x\", \"p1\": \"x\"}"), None, "what is left out is never refused");
    assert_eq!(told(&huge, "{\"p1\": 1}").unwrap().1.path, "/p1");
}

#[test]
fn a_keyword_judges_values_of_its_kind_alone() {
    let schema = json!({ "required": ["k"], "properties": { "k": { "minItems": 2, "maxLength": 1 } }, "minItems": 1 });
    for text in ["[1]", "{\"k\": {}}", "{\"k\": 100}", "\"a text\""] {
        assert_eq!(told(&schema, text), None, "{text}");
    }
    assert!(told(&schema, "{\"a\": 1}").is_some());
}
