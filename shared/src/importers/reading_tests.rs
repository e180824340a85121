//! Answers as the built-in importer reads them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::super::STRATOS_SCENARIO;
use super::*;

fn subject() -> SubjectKey {
    SubjectKey::new("acme".parse().unwrap(), "scenario:59".parse().unwrap())
}

fn issues(answer: &Value) -> Vec<(String, String)> {
    read(&STRATOS_SCENARIO, &subject(), answer).issues.into_iter().map(|issue| (issue.path, issue.message)).collect()
}

fn names(answer: &Value) -> Vec<String> {
    read(&STRATOS_SCENARIO, &subject(), answer).items.into_iter().map(|item| item.name).collect()
}

#[test]
fn two_things_with_one_id_stay_two() {
    let answer = scenario(&json!([{ "id": "c1", "name": "C" }, { "id": "c1", "name": "D" }, { "name": "D" }]));
    let ids: Vec<EntityId> = read(&STRATOS_SCENARIO, &subject(), &answer).items.into_iter().map(|item| item.id).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[1], ids[2], "it has its name alone");
}

fn scenario(capabilities: &Value) -> Value {
    json!({ "scenario_metadata": { "name": "S" }, "capabilities": capabilities })
}

#[test]
fn wrong_answers_get_the_fields_messages_with_their_paths() {
    let eleven: Vec<Value> = (0..11).map(|n| json!({ "name": format!("C{n}") })).collect();
    let cases = [
        (json!({}), vec![("scenario_metadata", "Missing or invalid object")]),
        (json!({ "scenario_metadata": { "name": " " } }), vec![("scenario_metadata.name", "Name is required")]),
        (json!({ "escenario": { "nombre": "S" }, "capacidades": 7 }), vec![("capacidades", "Must be an array")]),
        (scenario(&json!(eleven)), vec![("capabilities", "Too many capabilities (max 10)")]),
        (scenario(&json!(["C"])), vec![("capabilities[0]", "Must be an object")]),
        (
            scenario(&json!([{ "id": "c1", "name": "C" }, { "id": "c1", "name": "D" }, { "id": "c1", "name": "c" }])),
            vec![("capabilities[1].id", "Duplicate id")],
        ),
        // A key in another case is another key.
        (scenario(&json!([{ "Name": "C" }])), vec![("capabilities[0].name", "Name is required")]),
        (
            scenario(&json!([{ "name": "C", "competencies": [{ "name": "A" }, { "skills": ["s", " ", 7, {}] }] }])),
            vec![
                ("capabilities[0].competencies[1].name", "Name is required"),
                ("capabilities[0].competencies[1].skills[1]", "Name is required"),
                ("capabilities[0].competencies[1].skills[2]", "Must be an object or string"),
                ("capabilities[0].competencies[1].skills[3].name", "Name is required"),
            ],
        ),
        (
            scenario(
                &json!([{ "name": "C", "competencies": [] }, { "name": "D", "competencies": [{ "name": "E", "skills": [] }] }]),
            ),
            vec![
                ("capabilities[0].competencies", "At least one competency is required in strict mode"),
                ("capabilities[1].competencies[0].skills", "At least one skill is required in strict mode"),
            ],
        ),
    ];
    for (answer, expected) in cases {
        let expected: Vec<(String, String)> =
            expected.into_iter().map(|(path, message)| (path.to_owned(), message.to_owned())).collect();
        assert_eq!(issues(&answer), expected, "{answer}");
    }
}

#[test]
fn spanish_keys_and_wrapped_text_are_read_as_the_same() {
    let english = json!({
        "scenario_metadata": { "name": "S" },
        "capabilities": [{ "id": 1, "name": "Datos", "description": "d", "competencies": [{ "name": "A", "skills": ["s"] }] }],
        "suggested_roles": [{ "name": "R", "estimated_fte": 2 }],
    });
    let spanish = json!({
        "escenario": { "nombre": "S" },
        "capacidades": [{ "id": 1, "nombre": "Datos", "descripcion": "d", "competencias": [{ "nombre": "A", "habilidades": ["s"] }] }],
        "roles_sugeridos": [{ "nombre": "R", "fte_estimado": 2 }],
    });
    let content = json!({ "content": format!("```json\n{english}\n```"), "raw": null });
    let items = |answer: &Value| {
        let reading = read(&STRATOS_SCENARIO, &subject(), answer);
        assert_eq!(reading.issues, []);
        reading.items.into_iter().map(|item| (item.id, item.kind, item.name, item.fields)).collect::<Vec<_>>()
    };
    assert_eq!(items(&english), items(&spanish));
    let unwrapped = answer_of(&STRATOS_SCENARIO, &content.to_string()).unwrap();
    assert_eq!(items(&unwrapped), items(&english));
    assert_eq!(answer_of(&STRATOS_SCENARIO, &json!({ "content": english }).to_string()).unwrap(), english);
    assert!(answer_of(&STRATOS_SCENARIO, "no JSON").unwrap_err().contains("no JSON"));
    assert!(answer_of(&STRATOS_SCENARIO, "[1]").unwrap_err().contains("object"));
    assert_eq!(names(&english), ["Datos", "A", "s", "R"]);
}

#[test]
fn a_name_in_another_case_is_the_same_entity_and_a_child_of_another_parent_is_not() {
    let answer = scenario(&json!([
        { "name": "Data", "competencies": [{ "name": "X" }] },
        { "name": " dATA ", "competencies": [{ "name": "Y" }] },
        { "name": "Other", "competencies": [{ "name": "x" }] },
    ]));
    let items = read(&STRATOS_SCENARIO, &subject(), &answer).items;
    assert_eq!(items[0].id, items[2].id);
    assert_eq!(items[3].parent.as_ref(), Some(&items[0].id));
    assert_ne!(items[1].id, items[5].id);
}

#[test]
fn what_can_be_imported_is_read_beside_what_cannot() {
    let answer =
        scenario(&json!([{ "competencies": [{ "name": "lost" }] }, { "name": "kept", "competencies": [{}, { "name": "A" }] }]));
    assert_eq!(names(&answer), ["kept", "A"]);
    assert_eq!(issues(&answer).len(), 2);
    let long = scenario(
        &json!([{ "name": "n".repeat(ENTITY_NAME_CHARS_MAX + 1) }, { "name": "d", "description": "d".repeat(ENTITY_FIELDS_BYTES_MAX) }]),
    );
    assert_eq!((names(&long).len(), issues(&long).len()), (0, 2));
    // An id that is too long is told, and the name stands for it.
    let long_id = scenario(&json!([{ "id": "i".repeat(ENTITY_LLM_ID_CHARS_MAX + 1), "name": "a" }]));
    assert_eq!(issues(&long_id), [("capabilities[0].id".to_owned(), "Id must have at most 300 characters".to_owned())]);
    let items = read(&STRATOS_SCENARIO, &subject(), &long_id).items;
    assert_eq!((items[0].name.as_str(), &items[0].llm_id), ("a", &None));
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "name",
        "nombre",
        "id",
        "competencies",
        "skills",
        "capabilities",
        "suggested_roles",
        "scenario_metadata",
        "content",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        "[aA ]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let fields = prop::collection::vec((key.clone().prop_map(str::to_owned), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect()))
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_each_item_behind_its_parent_and_the_same_again(answer in any_json()) {
        let reading = read(&STRATOS_SCENARIO, &subject(), &answer);
        let mut seen = BTreeSet::new();
        for item in &reading.items {
            prop_assert!(item.parent.as_ref().is_none_or(|parent| seen.contains(parent)), "{:?}", item);
            prop_assert!(!item.name.trim().is_empty());
            seen.insert(item.id.clone());
        }
        prop_assert_eq!(&read(&STRATOS_SCENARIO, &subject(), &answer), &reading);
        let _ = answer_of(&STRATOS_SCENARIO, &answer.to_string());
    }
}
