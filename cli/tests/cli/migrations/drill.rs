//! The drill of the runbook: migrate, break it on purpose, undo, and compare every row.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use longhand_tests::seed;
use serde_json::json;

use super::{Everything, Place, database, migrate};

const LARGE: usize = 10_000;
/// Rows that are broken.
const BROKEN: usize = 5;

fn item(key: &(String, String), row: &BTreeMap<String, AttributeValue>) -> std::collections::HashMap<String, AttributeValue> {
    let key = [("pk", &key.0), ("sk", &key.1)].map(|(name, word)| (name.to_owned(), AttributeValue::S(word.clone())));
    row.clone().into_iter().chain(key).collect()
}

async fn put(place: &Place, key: &(String, String), row: &BTreeMap<String, AttributeValue>) {
    let client = place.harness.clients().await.dynamodb;
    let table = place.harness.config("api").records_table;
    client.put_item().table_name(table).set_item(Some(item(key, row))).send().await.unwrap();
}

/// Where two states differ.
fn differences(one: &Everything, other: &Everything) -> Vec<(String, String)> {
    let keys: std::collections::BTreeSet<_> = one.rows.keys().chain(other.rows.keys()).collect();
    keys.into_iter().filter(|key| one.rows.get(*key) != other.rows.get(*key)).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_broken_after_a_migration_is_left_and_told_and_everything_else_is_undone() {
    let mut dice = fastrand::Rng::with_seed(seed());
    let (_database, path, expected) = database(LARGE);
    let (place, migrate) = (Place::new().await, migrate(&path));
    // What was there before: another generation, and a subject that the migration adds to.
    place.harness.done("PUT", "subjects/scenario-3", &json!({ "title": "Ours", "labels": ["kept"] })).await;
    let before = place.everything().await;
    let applied = place.say(&[&migrate[..], &["--apply", "--backup", &place.backup()]].concat()).await;
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let after = place.everything().await;
    let subject = &after.rows[&("local#subject:scenario-3".to_owned(), "subject".to_owned())];
    assert_eq!(subject["details"], before.rows[&("local#subject:scenario-3".to_owned(), "subject".to_owned())]["details"]);

    let mut records: Vec<&(String, String)> = after.rows.keys().filter(|key| key.1 == "record").collect();
    dice.shuffle(&mut records);
    let broken: Vec<(String, String)> = records.into_iter().take(BROKEN).cloned().collect();
    for key in &broken {
        let mut row = after.rows[key].clone();
        row.insert("model".into(), AttributeValue::S("broken".into()));
        put(&place, key, &row).await;
    }
    let run = applied.run();
    let undone = place.say(&[&migrate[..], &["--json", "--undo", &run]].concat()).await;
    let told = undone.json().remove(0);
    let left = told["changed_since"].as_array().unwrap().len();
    // Units of the same subject that came before a broken one cannot be undone either.
    assert!(undone.code == Some(1) && left >= BROKEN, "{undone:?}");
    assert_eq!(told["undone"].as_u64().unwrap() + left as u64, expected.len() as u64, "{told}");
    let now = place.everything().await;
    let remaining = differences(&before, &now);
    assert!(broken.iter().all(|key| remaining.contains(key)));
    for key in remaining.iter().filter(|key| key.1 == "record" && !broken.contains(key)) {
        assert_eq!(now.rows.get(key), after.rows.get(key), "{key:?} is as it was before or after the migration");
    }

    // The rows are put right from what was there, and the undo repeated.
    for key in &broken {
        put(&place, key, &after.rows[key]).await;
    }
    let undone = place.say(&[&migrate[..], &["--json", "--undo", &run]].concat()).await;
    assert_eq!((undone.code, &undone.json()[0]["undone"]), (Some(0), &json!(left)), "{undone:?}");
    place.everything().await.assert_same(&before);
    place.harness.finish().await;
}
