//! Inputs: a questionnaire with one error, with seven, and with none.

use proptest::prelude::*;
use serde_json::json;

use super::super::document_tests::{FULL, TRAINING, published};
use super::*;

const QUESTIONNAIRE: &str = include_str!("../../../infra/pipelines/questionnaire.json");

fn training() -> Document {
    Document::parse(TRAINING.as_bytes(), |_| None).unwrap()
}

fn full() -> Document {
    Document::parse(FULL.as_bytes(), published).unwrap()
}

fn questionnaire() -> Value {
    serde_json::from_str(QUESTIONNAIRE).unwrap()
}

/// Path, message and expected form of each error.
fn errors(document: &Document, input: Value) -> Vec<(String, String, String)> {
    let errors = document.check_input(input).unwrap_err();
    assert_eq!(errors.more, 0);
    errors.errors.into_iter().map(|error| (error.path, error.message, error.expected)).collect()
}

#[test]
fn sample_questionnaire_is_accepted_with_its_defaults() {
    let input = training().check_input(questionnaire()).unwrap();
    assert_eq!(input["previous_plan"], Value::Null);
    assert!(input.as_object().unwrap().contains_key("previous_plan"));
    let input = full().check_input(questionnaire()).unwrap();
    let names: Vec<&String> = input.as_object().unwrap().keys().collect();
    assert_eq!(names, ["submission", "previous_training_plan", "previous_nutrition_plan"]);
}

#[test]
fn seven_errors_are_told_at_once() {
    let mut input = questionnaire();
    let answers = input["submission"]["responses"].as_object_mut().unwrap();
    answers.remove("nombre_completo");
    answers.insert("email".into(), json!("lucia at example"));
    answers.insert("fecha_nacimiento".into(), json!("17/04/1988"));
    answers.insert("sexo".into(), json!("mujer"));
    answers.insert("peso".into(), json!("0"));
    answers.insert("altura_cm".into(), json!(167));
    answers.insert("objetivo_fisico".into(), json!(""));
    // The parts of a pipeline that uses others ask the same of it.
    for document in [training(), full()] {
        let mut found = errors(&document, input.clone());
        found.sort();
        let expected = [
            ("altura_cm", "`altura_cm` must be a string", r#"the height in centimetres, a positive number as text: "172""#),
            ("email", "`email`: not in the expected form", "an address of e-mail: ana@example.com"),
            ("fecha_nacimiento", "`fecha_nacimiento`: not in the expected form", "a date as YYYY-MM-DD: 1988-04-17"),
            ("nombre_completo", "missing: `nombre_completo`", "the client's full name"),
            ("objetivo_fisico", "`objetivo_fisico` must not be empty", r#"the aim in the client's words: "perder grasa""#),
            ("peso", "`peso`: not in the expected form", r#"the weight in kilograms, a positive number as text: "78" or "78,5""#),
            ("sexo", r#"`sexo` must be one of ["Hombre","Mujer"]"#, "Hombre or Mujer"),
        ];
        let expected =
            expected.map(|(name, message, form)| (format!("submission.responses.{name}"), message.to_owned(), form.to_owned()));
        assert_eq!(found, expected);
    }
}

#[test]
fn missing_answers_are_told_in_words() {
    let mut input = questionnaire();
    input["submission"].as_object_mut().unwrap().remove("responses");
    for document in [training(), full()] {
        let found = errors(&document, input.clone());
        let expected = (
            "submission.responses".to_owned(),
            "missing: the answers of the questionnaire".to_owned(),
            r#"an object with the client's answers, such as "nombre_completo", "peso" and "objetivo_fisico""#.to_owned(),
        );
        assert_eq!(found, [expected]);
    }
    let found = errors(&training(), json!({}));
    assert_eq!(found[0].0, "submission");
    assert_eq!(errors(&training(), json!([]))[0].0, "");
    assert_eq!(errors(&training(), json!("x"))[0].1, "the input must be an object");
}

#[test]
fn positive_numbers_are_positive() {
    let with = |weight: &str| {
        let mut input = questionnaire();
        input["submission"]["responses"]["peso"] = json!(weight);
        training().check_input(input).is_ok()
    };
    for positive in ["1", "78", "78.5", "78,5", "078", "0.5", "0,05", "100"] {
        assert!(with(positive), "{positive}");
    }
    for none in ["0", "00", "0.0", "0,00", "", "-1", "+1", "1.", ".5", "1e3", "78 kg", "abc", "٣", "1.2.3", "NaN"] {
        assert!(!with(none), "{none}");
    }
}

#[test]
fn defaults_are_filled_in_objects() {
    let schema = json!({
        "properties": {
            "a": { "default": 1 },
            "b": { "properties": { "c": { "default": [2] }, "d": {} } },
            "e": { "$ref": "#/$defs/e" },
            "f": { "items": { "properties": { "g": { "default": 3 } } } },
        },
        "$defs": { "e": { "default": {}, "properties": { "h": { "default": null }, "again": { "$ref": "#/$defs/e" } } } },
    });
    let filled = |mut value: Value| {
        fill_defaults(&schema, &mut value);
        value
    };
    assert_eq!(filled(json!({ "b": {}, "f": [{}], "e": { "h": 1, "again": 1 } }))["b"], json!({ "c": [2] }));
    assert_eq!(filled(json!({ "f": [{}] }))["f"], json!([{}]));
    assert_eq!(filled(json!({ "a": null }))["a"], json!(null));
    assert!(filled(json!({}))["e"]["again"]["again"].is_object(), "a schema that refers to itself ends somewhere");
    assert_eq!(filled(json!([1])), json!([1]));
    let doubling = json!({
        "properties": { "a": { "$ref": "#/$defs/e" } },
        "$defs": { "e": { "default": {}, "properties": { "b": { "$ref": "#/$defs/e" }, "c": { "$ref": "#/$defs/e" } } } },
    });
    let mut value = json!({});
    fill_defaults(&doubling, &mut value);
    assert!((10_000..4_000_000).contains(&json_bytes(&value)), "{}", json_bytes(&value));
}

#[test]
fn errors_are_bounded_and_counted() {
    let document = json!({
        "longhand": "pipeline/1", "name": "p", "defaults": { "model": "m" }, "steps": [{ "id": "A", "prompt": "x" }],
        "input": { "properties": { "list": { "items": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } } } } },
    });
    let document = Document::parse(document.to_string().as_bytes(), |_| None).unwrap();
    let mut list = vec![json!({}); 30];
    list.extend(vec![json!({ "name": 1 }); 40]);
    let told = document.check_input(json!({ "list": list })).unwrap_err();
    assert_eq!((told.errors.len(), told.more), (50, 20));
    assert_eq!((told.errors[0].path.as_str(), told.errors[0].pointer.as_str()), ("list[0].name", "/list/0/name"));
    assert_eq!((told.errors[0].message.as_str(), told.errors[0].expected.as_str()), ("missing: `name`", "a string"));
    assert_eq!((told.errors[40].message.as_str(), told.errors[40].expected.as_str()), ("`name` must be a string", "a string"));
}

#[test]
fn values_are_never_repeated() {
    let secret = "a secret of a client";
    let mut input = questionnaire();
    for (_, answer) in input["submission"]["responses"].as_object_mut().unwrap() {
        *answer = json!([secret]);
    }
    let told = serde_json::to_string(&training().check_input(input).unwrap_err()).unwrap();
    assert!(!told.contains(secret), "{told}");
}

proptest! {
    #[test]
    fn any_input_is_taken_or_told(text in r#"\{"submission":(\{("user_id":("u"|1|null))?(,"responses":(\{\}|\[\]|\{"peso":"[0-9.,]{0,4}"\}))?\}|7|null)\}"#) {
        let Ok(input) = serde_json::from_str::<Value>(&text) else { return Ok(()) };
        for document in [training(), full()] {
            let told = document.check_input(input.clone()).unwrap_err();
            prop_assert!(!told.errors.is_empty());
            for error in told.errors {
                prop_assert!(!error.message.is_empty() && !error.expected.is_empty(), "{error:?}");
            }
        }
    }
}
