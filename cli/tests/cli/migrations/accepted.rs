//! What is accepted there: it stays accepted where the version that it would be is older than another, and where no scenario was made of it, that
//! is told.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Place, database, migrate};

/// The generation that was imported under this number.
async fn imported(place: &Place, number: i64) -> Value {
    let page = place.harness.api.found("generations?limit=100").await;
    page["data"].as_array().unwrap().iter().find(|one| one["metadata"]["imported"]["id"] == number).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_is_kept_where_its_version_is_older_and_one_without_a_scenario_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stratos.sqlite");
    database::make(&path, 18, 1_000);
    // 17 and 18 are accepted. Of 12, which comes first, the scenario of 18 has a text that was completed later.
    let changes = "UPDATE scenario_generations SET metadata = json_remove(metadata, '$.created_scenario_id'), scenario_id = NULL WHERE id = 17;
                   UPDATE scenario_generations SET scenario_id = 1018, metadata = json_set(metadata, '$.completed_at', '2026-02-12T00:30:00.000Z') WHERE id = 12;";
    Connection::open(&path).unwrap().execute_batch(changes).unwrap();
    let (place, path) = (Place::new().await, path.display().to_string());
    let report = folder.path().join("report.jsonl");
    let options = ["--apply", "--backup", &place.backup(), "--report", report.to_str().unwrap()];
    let said = place.say(&[&migrate(&path)[..], &options].concat()).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (newer, accepted, nowhere) = (imported(&place, 12).await, imported(&place, 18).await, imported(&place, 17).await);
    let report = std::fs::read_to_string(report).unwrap();
    let told: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let findings = |number: &str| {
        let of_unit = told.iter().find(|line| line["unit"] == number).unwrap();
        of_unit["findings"].as_array().unwrap().iter().map(|finding| finding["code"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(findings("18"), ["older_than_current"]);
    assert_eq!(findings("17"), ["accepted_without_subject"]);
    assert_eq!((&accepted["accepted_subject"], nowhere.get("accepted_subject")), (&json!("scenario-1018"), None));
    let subject = place.harness.api.found("subjects/scenario-1018").await;
    assert_eq!((&subject["accepted"], &subject["current"]), (&accepted["id"], &json!(1)));
    let prompt = place.harness.api.found("subjects/scenario-1018/accepted_prompt").await;
    assert_eq!((&prompt["generation"], &prompt["version"]), (&accepted["id"], &Value::Null), "it has become no version");
    let version = place.harness.api.found("subjects/scenario-1018/versions/1").await;
    assert_eq!(version["generation"], newer["id"]);
    place.harness.stack.shutdown().await;
}
