//! What was done to imported generations, or to their rows there, before the migration is run again or undone.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::{Place, migrate};

const SCHEMA: &str = "CREATE TABLE scenario_generations (
    id INTEGER PRIMARY KEY, organization_id INTEGER NOT NULL, created_by INTEGER, prompt TEXT, llm_response TEXT, status VARCHAR NOT NULL,
    metadata TEXT, compacted TEXT, scenario_id INTEGER, created_at TEXT, updated_at TEXT);";

/// A database with few generations, each complete, and accepted for a scenario of its own.
struct Few {
    folder: tempfile::TempDir,
}

impl Few {
    fn new(generations: i64) -> Self {
        let few = Self { folder: tempfile::tempdir().unwrap() };
        few.change(SCHEMA);
        for id in 1..=generations {
            let told = json!({ "provider": "abacus", "model": "gpt-5", "completed_at": "2026-02-11 10:00:00", "accepted_by": 3,
                "accepted_at": "2026-02-12 08:00:00", "created_scenario_id": id });
            let compacted = BASE64_STANDARD.encode(text(id));
            let row = params![id, format!("a prompt of generation {id}"), told.to_string(), compacted];
            let insert = "INSERT INTO scenario_generations (id, organization_id, prompt, status, metadata, compacted, created_at)
                VALUES (?1, 1, ?2, 'complete', ?3, ?4, '2026-02-11 09:00:00')";
            few.connection().execute(insert, row).unwrap();
        }
        few
    }

    fn path(&self) -> String {
        self.folder.path().join("stratos.sqlite").display().to_string()
    }

    fn connection(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn change(&self, statements: &str) {
        self.connection().execute_batch(statements).unwrap();
    }
}

fn text(id: i64) -> String {
    let competency = json!({ "name": "Datos", "description": "Leer datos", "skills": ["SQL"] });
    let capability = json!({ "name": format!("Capacidad {id}"), "description": "Una capacidad", "competencies": [competency] });
    json!({ "scenario_metadata": { "name": format!("Escenario {id}") }, "capabilities": [capability] }).to_string()
}

/// Writes, and returns the run.
async fn apply(place: &Place, arguments: &[&str]) -> String {
    let applied = place.say(&[arguments, &["--apply", "--backup", &place.backup()]].concat()).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    applied.run()
}

async fn plan(place: &Place, arguments: &[&str]) -> Value {
    let planned = place.say(&[arguments, &["--json"]].concat()).await;
    assert_eq!(planned.code, Some(0), "{planned:?}");
    planned.json().remove(0)
}

/// The generation here of a number there.
async fn imported(place: &Place, id: i64) -> String {
    let page = place.harness.api.found("generations?limit=100").await;
    let generation = page["data"].as_array().unwrap().iter().find(|generation| generation["metadata"]["imported"]["id"] == id);
    generation.unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_imported_since_keeps_its_subject_and_its_generation() {
    let (few, place) = (Few::new(3), Place::new().await);
    let path = few.path();
    let (empty, migrate) = (place.everything().await, migrate(&path));
    let run = apply(&place, &migrate).await;
    let id = imported(&place, 2).await;
    let accepted = place.harness.done("POST", &format!("generations/{id}/accept"), &json!({ "import": true })).await;
    let capability = accepted["import"]["report"]["capabilities"][0]["id"].as_str().unwrap().to_owned();
    let decided = json!({ "items": [{ "type": "capability", "id": capability }] });
    place.harness.done("POST", "subjects/scenario-2/entities/approve", &decided).await;
    let reviewed = place.everything().await;

    let undone = place.say(&[&migrate[..], &["--json", "--undo", &run]].concat()).await;
    let told = undone.json().remove(0);
    assert_eq!((undone.code, &told["undone"], &told["changed_since"][0]["unit"]), (Some(1), &json!(2), &json!("2")), "{told}");
    let why = told["changed_since"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("others have added "), "{told}");
    let now = place.everything().await;
    let is_kept = |key: &(String, String)| key.0.contains(&id) || key.0.contains("scenario-2");
    let kept: Vec<_> = reviewed.rows.iter().filter(|(key, _)| is_kept(key)).collect();
    assert_eq!(kept, now.rows.iter().filter(|(key, _)| is_kept(key)).collect::<Vec<_>>(), "nothing of it is half undone");
    let entity = place.harness.api.found(&format!("subjects/scenario-2/entities/{capability}")).await;
    assert_eq!(entity["state"], "approved");
    let objects = |all: &super::Everything| all.objects.keys().filter(|path| path.to_string_lossy().contains(&id)).count();
    assert_eq!(objects(&now), objects(&reviewed));
    // Without the subject, and all that was added to it, the rest of it goes too, as far as it was not changed.
    let left = now.rows.keys().filter(|key| !is_kept(key) && !empty.rows.contains_key(*key)).collect::<Vec<_>>();
    assert!(left.iter().all(|key| !key.0.contains("scenario-")), "{left:?}");
    place.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_here_stays_deleted_and_is_told() {
    let (few, place) = (Few::new(3), Place::new().await);
    let path = few.path();
    let migrate = migrate(&path);
    apply(&place, &migrate).await;
    let id = imported(&place, 2).await;
    place.harness.stack.app().await.unwrap().purge(&longhand_tests::key_of(&id)).await.unwrap();
    let purged = place.everything().await;
    let planned = plan(&place, &migrate).await;
    assert_eq!(
        (&planned["counts"]["already_right"], &planned["findings"]),
        (&json!(3), &json!({ "purged_here": 1 })),
        "{planned}"
    );
    // With other flags it would have another id, and is known all the same.
    let elsewhere = plan(&place, &[&migrate[..], &["--time-zone", "+02:00"]].concat()).await;
    assert_eq!(elsewhere["findings"], json!({ "purged_here": 1, "imported_elsewhere": 2 }), "{elsewhere}");
    let again = place.say(&[&migrate[..], &["--apply", "--backup", &place.backup()]].concat()).await;
    assert!(again.code == Some(0) && again.stderr.contains("there is nothing to write"), "{again:?}");
    place.everything().await.assert_same(&purged);
    place.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_flags_make_no_second_copies() {
    let (few, place) = (Few::new(3), Place::new().await);
    let path = few.path();
    let own = migrate(&path);
    apply(&place, &own).await;
    let first = place.everything().await;
    let other = ["migrate", "stratos", "--from", &path, "--organization", "1=another"];
    for arguments in [&[&own[..], &["--time-zone", "+01:00"]].concat()[..], &other] {
        let told = place.say(&[arguments, &["--apply", "--backup", &place.backup()]].concat()).await;
        assert!(told.code == Some(1) && told.stdout.contains("give the flags of the first run"), "{told:?}");
        place.everything().await.assert_same(&first);
    }
    few.change("UPDATE scenario_generations SET created_at = '2026-02-11 08:00:00' WHERE id = 1");
    let moved = plan(&place, &own).await;
    assert_eq!(moved["findings"], json!({ "imported_elsewhere": 1 }), "its id would be another one: {moved}");
    // Another database may have the same numbers.
    let another = plan(&place, &[&other[..], &["--database", "second"]].concat()).await;
    assert_eq!(another["counts"]["changed"], 3, "{another}");
    place.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_that_is_missing_here_is_told() {
    let (few, place) = (Few::new(3), Place::new().await);
    let path = few.path();
    let migrate = migrate(&path);
    apply(&place, &migrate).await;
    let (client, table) = (place.harness.clients().await.dynamodb, place.harness.config("api").records_table);
    let record = (format!("local#{}", imported(&place, 3).await), "record".to_owned());
    let subject = ("local#subject:scenario-3".to_owned(), "subject".to_owned());
    for ((pk, sk), removed) in [(record, "accepted_subject, accepted_at"), (subject, "accepted")] {
        let update = client.update_item().table_name(&table).update_expression(format!("REMOVE {removed}"));
        let text = aws_sdk_dynamodb::types::AttributeValue::S;
        update.key("pk", text(pk)).key("sk", text(sk)).send().await.unwrap();
    }
    let verified = place.say(&[&migrate[..], &["--json", "--apply", "--backup", &place.backup()]].concat()).await;
    let counts = &verified.json()[1]["counts"][2];
    assert_eq!((verified.code, &counts["count"], &counts["found_count"]), (Some(1), &json!(3), &json!(2)), "{verified:?}");
    assert!(verified.stderr.contains("generation 3: it was accepted there, and nothing is accepted here"), "{verified:?}");
    place.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_have_changed_there_are_taken_where_nothing_of_them_has_changed_here() {
    let (few, place) = (Few::new(4), Place::new().await);
    let path = few.path();
    let (empty, migrate) = (place.everything().await, migrate(&path));
    // The first one is being written there, and the second one is not accepted yet.
    few.change(
        "UPDATE scenario_generations SET status = 'processing', compacted = NULL WHERE id = 1;
         UPDATE scenario_generations SET metadata = json_remove(metadata, '$.accepted_at', '$.accepted_by', '$.created_scenario_id') WHERE id = 2;
         UPDATE scenario_generations SET scenario_id = 2 WHERE id = 2",
    );
    let one = apply(&place, &migrate).await;
    let (first, second) = (imported(&place, 1).await, imported(&place, 2).await);
    let (client, table) = (place.harness.clients().await.dynamodb, place.harness.config("api").records_table);
    let text_of = aws_sdk_dynamodb::types::AttributeValue::S;
    let update = client.update_item().table_name(&table).update_expression("SET model = :ours");
    let update = update.key("pk", text_of(format!("local#{}", imported(&place, 4).await))).key("sk", text_of("record".into()));
    update.expression_attribute_values(":ours", text_of("ours".into())).send().await.unwrap();
    let before = place.everything().await;

    let encoded = BASE64_STANDARD.encode(text(1));
    few.change(&format!(
        "UPDATE scenario_generations SET status = 'complete', compacted = '{encoded}' WHERE id = 1;
         UPDATE scenario_generations SET metadata = json_set(metadata, '$.accepted_by', 3, '$.accepted_at', '2026-02-12 08:00:00') WHERE id = 2;
         UPDATE scenario_generations SET compacted = '{encoded}' WHERE id = 3;
         UPDATE scenario_generations SET prompt = 'another prompt' WHERE id = 4"
    ));
    let backup = place.backup();
    let applied = place.say(&[&migrate[..], &["--json", "--apply", "--backup", &backup]].concat()).await;
    let lines = applied.json();
    let counts = json!({ "changed": 2, "already_right": 0, "cannot": 2 });
    assert_eq!(
        (applied.code, &lines[0]["findings"], &lines[1]["counts"]),
        (Some(1), &json!({ "changed_since": 4 }), &counts),
        "{applied:?}"
    );
    let why: Vec<&str> = lines[0]["cannot"].as_array().unwrap().iter().map(|told| told["why"].as_str().unwrap()).collect();
    assert!(why[0].ends_with("a version never changes") && why[1].ends_with("it was changed here, too"), "{why:?}");
    let api = &place.harness.api;
    let generation = api.found(&format!("generations/{first}")).await;
    assert_eq!((&generation["status"], &generation["reason"]), (&json!("completed"), &Value::Null), "{generation}");
    assert_eq!(api.found(&format!("generations/{first}/output")).await["text"], text(1).as_str());
    longhand_tests::assert_whole(&api.events(&first).await);
    for (scenario, generation) in [(1, &first), (2, &second)] {
        let subject = api.found(&format!("subjects/scenario-{scenario}")).await;
        assert_eq!((&subject["current"], &subject["accepted"]), (&json!(1), &json!(generation)), "{subject}");
        let version = api.found(&format!("subjects/scenario-{scenario}/versions/1/output")).await;
        assert_eq!(version["text"], text(scenario).as_str());
    }
    let again = plan(&place, &migrate).await;
    assert_eq!(again["counts"], json!({ "changed": 0, "already_right": 2, "cannot": 2 }));

    let refused = place.say(&[&migrate[..], &["--undo", &one]].concat()).await;
    let two = applied.run();
    assert!(refused.code == Some(1) && refused.stderr.contains(&format!("undo {two} first")), "{refused:?}");
    let undone = place.say(&[&migrate[..], &["--json", "--undo", &two]].concat()).await;
    assert_eq!((undone.code, &undone.json()[0]["undone"]), (Some(0), &json!(2)), "{undone:?}");
    place.everything().await.assert_same(&before);
    let undone = place.say(&[&migrate[..], &["--json", "--undo", &one]].concat()).await;
    assert_eq!((undone.code, &undone.json()[0]["undone"]), (Some(1), &json!(3)), "the one that was changed is left: {undone:?}");
    let left = place.everything().await;
    assert!(left.rows.len() > empty.rows.len() && !left.rows.keys().any(|key| key.0.contains(&first)));
    place.harness.finish().await;
}
