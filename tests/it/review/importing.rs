//! Imports: what becomes of answers, what is refused, and what is taken back.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{SUBJECT, Scene, small, without_ids};

/// The answer of a scenario, as it was recorded.
fn recorded() -> String {
    let lines = include_str!("../../../infra/local/recordings/scenario.jsonl").lines();
    lines.map(|line| serde_json::from_str::<String>(line).unwrap()).collect()
}

fn entry(name: &str, llm_id: Option<&str>) -> Value {
    json!({ "name": name, "created": true, "llm_id": llm_id })
}

fn report(capabilities: &[Value], competencies: &[Value], skills: &[Value], roles: &[Value]) -> Value {
    json!({ "capabilities": capabilities, "competencies": competencies, "skills": skills, "roles": roles, "errors": [] })
}

/// Answers, and what an import of each must report.
fn answers() -> Vec<(String, Value)> {
    let recorded_report: Value = serde_json::from_str(include_str!("answers/scenario.report.json")).unwrap();
    let small_report = report(
        &[entry("Data", Some("c1")), entry("People", Some("c2"))],
        &[entry("Modelling", None)],
        &[entry("SQL", None), entry("Python", None)],
        &[entry("Analyst", None)],
    );
    let spanish = json!({
        "escenario": { "nombre": "E", "descripcion": "d" },
        "capacidades": [{ "id": 7, "nombre": "Agua", "competencias": [{ "nombre": "Riego", "habilidades": ["Goteo"] }] }],
    });
    let spanish_report = report(&[entry("Agua", Some("7"))], &[entry("Riego", None)], &[entry("Goteo", None)], &[]);
    let wrapped = json!({ "content": format!("```json\n{}\n```", json!({ "scenario_metadata": { "name": "W" }, "capabilities": [
        { "name": "Data" }, { "name": " dATA" },
    ] })), "raw": null });
    let mut wrapped_report = report(&[entry("Data", None), entry("dATA", None)], &[], &[], &[]);
    // A name in another case is the same entity.
    wrapped_report["capabilities"][1]["created"] = json!(false);
    vec![
        (recorded(), recorded_report),
        (small().to_string(), small_report),
        (spanish.to_string(), spanish_report),
        (wrapped.to_string(), wrapped_report),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_those_made_by_hand_and_twice_gives_the_same_entities() {
    let scene = Scene::start().await;
    for (place, (answer, expected)) in answers().into_iter().enumerate() {
        let subject = format!("s{place}");
        let id = scene.generated(&subject, &answer).await;
        let body = json!({ "import": true });
        let (status, accepted) = scene.accept(&id, &body).await;
        assert_eq!(status, StatusCode::CREATED, "{accepted}");
        let import = &accepted["import"];
        assert_eq!(without_ids(&import["report"]), expected, "{subject}");
        let entities = scene.found(&format!("subjects/{subject}/entities?limit=1000")).await;
        // Each entity is under its parent, and says where it comes from.
        let told = import["report"].as_object().unwrap().values().flat_map(|entries| entries.as_array().unwrap());
        for told in told {
            let entity = scene.found(&format!("subjects/{subject}/entities/{}", told["id"].as_str().unwrap())).await;
            assert_eq!((&entity["state"], &entity["generation"]), (&json!("incubating"), &json!(id)));
            let is_top = ["capability", "role"].contains(&entity["kind"].as_str().unwrap());
            assert_eq!(entity["parent"].is_null(), is_top, "{entity}");
        }
        assert_eq!(scene.accept(&id, &body).await, (StatusCode::CREATED, accepted.clone()));
        assert_eq!(scene.found(&format!("subjects/{subject}/entities?limit=1000")).await, entities);
        // Another generation with the same answer finds the same entities.
        let again = scene.generated(&subject, &answer).await;
        let (_, accepted) = scene.accept(&again, &json!({ "import": true, "replace": true })).await;
        let ids =
            |report: &Value| report["capabilities"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(&accepted["import"]["report"]), ids(&import["report"]));
        assert_eq!(accepted["import"]["report"]["capabilities"][0]["created"], false);
        let after = scene.found(&format!("subjects/{subject}/entities?limit=1000")).await;
        assert_eq!(after["data"].as_array().unwrap().len(), entities["data"].as_array().unwrap().len());
        let attempts = scene.found(&format!("generations/{id}/import_audit")).await;
        let results: Vec<&Value> = attempts["data"].as_array().unwrap().iter().map(|attempt| &attempt["result"]).collect();
        assert_eq!(results, ["started", "success"]);
        assert_eq!(without_ids(&attempts["data"][1]["report"]), expected);
    }
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_are_refused_with_the_fields_messages_and_nothing_is_accepted() {
    let scene = Scene::start().await;
    let eleven: Vec<Value> = (0..11).map(|number| json!({ "name": format!("C{number}") })).collect();
    let of = |capabilities: Value| json!({ "scenario_metadata": { "name": "S" }, "capabilities": capabilities }).to_string();
    for (place, (answer, path, message, result)) in [
        (of(json!(eleven)), "capabilities", "Too many capabilities (max 10)", "validation_failed"),
        (of(json!([{ "name": "A" }, { "id": 1 }])), "capabilities[1].name", "Name is required", "validation_failed"),
        (of(json!([{ "NAME": "A" }])), "capabilities[0].name", "Name is required", "validation_failed"),
        (
            json!({ "escenario": { "nombre": " " }, "capacidades": [{ "nombre": "A" }] }).to_string(),
            "escenario.name",
            "Name is required",
            "validation_failed",
        ),
        ("plain text".to_owned(), "", "the output has no JSON, bare or in one Markdown fence", "validation_error"),
    ]
    .into_iter()
    .enumerate()
    {
        let subject = format!("s{place}");
        let id = scene.generated(&subject, &answer).await;
        let (status, told) = scene.accept(&id, &json!({ "import": true })).await;
        assert_eq!((status, &told["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_answer")), "{told}");
        assert_eq!((&told["errors"][0]["path"], &told["errors"][0]["message"]), (&json!(path), &json!(message)));
        assert_eq!(scene.found(&format!("subjects/{subject}")).await.get("accepted"), None);
        let attempts = scene.found(&format!("generations/{id}/import_audit")).await;
        assert_eq!((attempts["data"].as_array().unwrap().len(), &attempts["data"][0]["result"]), (1, &json!(result)));
        if result == "validation_failed" {
            assert_eq!(attempts["data"][0]["errors"], json!([{ "path": path, "message": message }]));
        }
        // Without the import it is accepted.
        assert_eq!(scene.accept(&id, &json!({})).await.0, StatusCode::CREATED);
    }
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_turn_imports_off_and_their_validation() {
    let off = Scene::with(&[]).await;
    let id = off.generated(SUBJECT, &small().to_string()).await;
    for attempt in 1..=2 {
        let (status, told) = off.accept(&id, &json!({ "import": true })).await;
        assert_eq!((status, &told["code"]), (StatusCode::FORBIDDEN, &json!("imports_off")));
        let attempts = off.found(&format!("generations/{id}/import_audit")).await;
        let results: Vec<&Value> = attempts["data"].as_array().unwrap().iter().map(|attempt| &attempt["result"]).collect();
        assert_eq!(results, vec!["skipped_feature_flag"; attempt]);
        let entries = off.audit().await;
        assert_eq!((entries.len(), &entries[0]["after"]["result"]), (attempt, &json!("skipped_feature_flag")));
    }
    assert_eq!(off.found(&format!("subjects/{SUBJECT}")).await.get("accepted"), None);
    off.harness.finish().await;

    let lenient = Scene::with(&[("LONGHAND_IMPORT_GENERATION", "true"), ("LONGHAND_VALIDATE_LLM_RESPONSE", "false")]).await;
    let import =
        lenient.imported(&json!({ "capabilities": [{ "name": "A", "competencies": [{}, { "name": "B" }] }, "C"] })).await;
    let errors = json!([
        { "path": "scenario_metadata", "message": "Missing or invalid object" },
        { "path": "capabilities[0].competencies[0].name", "message": "Name is required" },
        { "path": "capabilities[1]", "message": "Must be an object" },
    ]);
    assert_eq!((&import["state"], &import["report"]["errors"]), (&json!("completed"), &errors));
    let mut names: Vec<Value> = lenient.entities("").await.into_iter().map(|entity| entity["name"].clone()).collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["A", "B"]);
    lenient.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reverted_import_leaves_what_was_decided_and_can_be_imported_again() {
    let scene = Scene::start().await;
    let import = scene.imported(&small()).await;
    let data = import["report"]["capabilities"][0]["id"].clone();
    scene.decide("approve", &json!({ "items": [{ "type": "capability", "id": data }] })).await;
    let path = format!("subjects/{SUBJECT}/imports/{}", import["id"].as_str().unwrap());
    let reverted = scene.done("POST", &format!("{path}/revert"), &json!({ "note": "The wrong quarter" })).await;
    assert_eq!((&reverted["state"], &reverted["report"]), (&json!("reverted"), &Value::Null));
    assert_eq!(scene.done("POST", &format!("{path}/revert"), &json!({})).await, reverted);
    let left = scene.entities("").await;
    assert_eq!((left.len(), &left[0]["id"], &left[0]["state"]), (1, &data, &json!("approved")));
    let gone = scene.entities("&state=reverted").await;
    assert_eq!(gone.len(), 5);
    assert!(gone.iter().all(|entity| entity["name"] == "" && entity["fields"] == json!({})), "{gone:#?}");
    let listed = scene.found(&format!("subjects/{SUBJECT}/imports")).await;
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["state"]), (1, &json!("reverted")));
    let generation = import["generation"].as_str().unwrap();
    let (_, again) = scene.accept(generation, &json!({ "import": true })).await;
    assert_eq!(again["import"]["id"], import["id"]);
    let first = |collection: &str| again["import"]["report"][collection][0].clone();
    let (kept, made) = (first("capabilities"), first("competencies"));
    assert_eq!((&kept["created"], &kept["kept"]), (&json!(false), &json!(true)), "it was decided before the import began anew");
    assert_eq!((&made["created"], made.get("kept")), (&json!(true), None));
    assert_eq!(scene.entities("").await.len(), 6);
    // A subject's deletion takes them all; the audit stays, and has no content.
    let before = scene.audit().await;
    scene.done("DELETE", &format!("subjects/{SUBJECT}"), &Value::Null).await;
    assert_eq!(scene.get(&format!("subjects/{SUBJECT}/entities")).await.0, StatusCode::NOT_FOUND);
    let mut after = scene.audit().await;
    assert!(before.iter().any(|entry| entry["note"] == "The wrong quarter"));
    assert!(after.iter().all(|entry| entry["note"].is_null()), "a note may have content, and goes with the subject");
    for (entry, was) in after.iter_mut().zip(&before) {
        entry["note"] = was["note"].clone();
    }
    assert_eq!(after[..before.len()], before);
    for word in ["Data", "Modelling", "Python", "Analyst"] {
        assert!(!after.iter().any(|entry| entry.to_string().contains(word)), "{word}");
    }
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_of_two_imports_goes_with_the_last_of_them() {
    let scene = Scene::start().await;
    let first = scene.imported(&small()).await;
    let mut other = small();
    other["capabilities"][1] = json!({ "id": "c3", "name": "Money" });
    let second = scene.imported(&other).await;
    assert_eq!(second["report"]["skills"][0]["created"], false);
    let id = |import: &Value| import["id"].as_str().unwrap().to_owned();
    let (first, second) = (id(&first), id(&second));
    let of = async |import: &str| {
        let mut names: Vec<Value> =
            scene.entities(&format!("&import={import}")).await.iter().map(|one| one["name"].clone()).collect();
        names.sort_by_key(ToString::to_string);
        names
    };
    let shared = ["Analyst", "Data", "Modelling", "Python", "SQL"];
    assert_eq!(of(&first).await, ["Analyst", "Data", "Modelling", "People", "Python", "SQL"]);
    assert_eq!(of(&second).await, ["Analyst", "Data", "Modelling", "Money", "Python", "SQL"]);
    let revert = async |import: &str| {
        scene.done("POST", &format!("subjects/{SUBJECT}/imports/{import}/revert"), &json!({})).await;
    };
    revert(&first).await;
    assert_eq!(of(&first).await.len(), 0);
    assert_eq!(of(&second).await, ["Analyst", "Data", "Modelling", "Money", "Python", "SQL"], "the second holds them still");
    let left = scene.entities("").await;
    assert!(left.iter().all(|one| one["import"] == second && one["imports"] == json!([second])), "{left:#?}");
    // Imported again, the first holds them too, and has made only what the second does not hold.
    let generation = scene.found(&format!("subjects/{SUBJECT}/imports/{first}")).await["generation"].clone();
    let (_, again) = scene.accept(generation.as_str().unwrap(), &json!({ "import": true, "replace": true })).await;
    let created = |entry: &&Value| entry["created"] == true;
    let report = again["import"]["report"].as_object().unwrap().clone();
    let made: Vec<&Value> = report.values().flat_map(|entries| entries.as_array().unwrap()).filter(created).collect();
    assert_eq!((made.len(), &made[0]["name"]), (1, &json!("People")));
    revert(&second).await;
    assert_eq!(of(&first).await.len(), shared.len() + 1);
    revert(&first).await;
    assert_eq!(scene.entities("").await.len(), 0);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_importers_are_checked_published_in_versions_and_used() {
    let scene = Scene::start().await;
    let document = |max: u64| {
        json!({
            "longhand": "importer/1", "name": "glossary", "title": "Terms",
            "schema": { "type": "object", "required": ["terms"] },
            "collections": [{ "name": "terms", "kind": "term", "fields": { "meaning": ["meaning", "definition"] }, "max": max }],
        })
    };
    let id = scene.generated("glossary", r#"{"terms": [{"name": "Chunk", "definition": "a part"}, {"name": "Log"}]}"#).await;
    let check = json!({ "document": document(1), "generation": id });
    let checked = scene.done("POST", "importers/glossary/check", &check).await;
    assert_eq!((&checked["version"], &checked["is_new"], &checked["collections"]), (&json!(1), &json!(true), &json!(["terms"])));
    assert_eq!(checked["issues"], json!([{ "path": "terms", "message": "Too many terms (max 1)" }]));
    assert_eq!(checked["report"]["terms"][0]["name"], "Chunk");
    let publish = async |max| scene.ask("PUT", "importers/glossary", &[], Some(&document(max))).await;
    assert_eq!(publish(1).await.0, StatusCode::CREATED);
    assert_eq!(publish(1).await.0, StatusCode::OK);
    assert_eq!(publish(9).await.1["version"], 2);
    let (status, told) = scene.accept(&id, &json!({ "import": true, "importer": "glossary@1" })).await;
    assert_eq!((status, &told["errors"][0]["path"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("terms")));
    let (status, accepted) = scene.accept(&id, &json!({ "import": true, "importer": "glossary" })).await;
    assert_eq!((status, &accepted["import"]["importer_version"]), (StatusCode::CREATED, &json!(2)), "{accepted}");
    let entities = scene.found("subjects/glossary/entities?kind=term").await;
    let chunk = entities["data"].as_array().unwrap().iter().find(|entity| entity["name"] == "Chunk").unwrap();
    assert_eq!(chunk["fields"], json!({ "meaning": "a part" }));
    let listed = scene.found("importers").await;
    let names: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|importer| &importer["name"]).collect();
    assert_eq!(names, ["stratos-scenario", "glossary"]);
    assert_eq!(scene.found("importers/stratos-scenario").await["version"], Value::Null);
    assert_eq!(scene.found("importers/glossary/versions/1").await["document"]["collections"][0]["max"], 1);
    let wrong = json!({ "longhand": "importer/1", "name": "glossary", "collections": [{ "name": "a", "kind": "K" }] });
    let (status, told) = scene.ask("PUT", "importers/glossary", &[], Some(&wrong)).await;
    assert_eq!((status, &told["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/collections/0/kind")));
    for absent in ["importers/none", "importers/glossary/versions/9", "importers/stratos-scenario/versions/1"] {
        assert_eq!(scene.get(absent).await.0, StatusCode::NOT_FOUND, "{absent}");
    }
    scene.harness.finish().await;
}
