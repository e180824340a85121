//! Groups of writes, over a database of their own.

use std::sync::mpsc;

use dynoxide::{
    Database,
    actions::put_item::{self, PutItemRequest},
};
use futures::FutureExt;
use serde_json::json;

use super::*;

const TABLE: &str = r#"{
    "TableName": "Log", "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
    "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }]
}"#;

fn group(durability: Durability) -> (tempfile::TempDir, Group) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db").to_string_lossy().into_owned();
    Database::new(&path).unwrap().create_table(serde_json::from_str(TABLE).unwrap()).unwrap();
    (folder, Group::open(&path, durability).unwrap())
}

/// A put of a new item with `bytes` of text, whose outcome is sent.
fn put(key: &str, bytes: usize, outcomes: &mpsc::Sender<Result<(), String>>) -> Write {
    let item = json!({ "pk": { "S": key }, "text": { "S": "x".repeat(bytes) } });
    let request = json!({ "TableName": "Log", "Item": item, "ConditionExpression": "attribute_not_exists(pk)" });
    let (request, outcomes): (PutItemRequest, _) = (serde_json::from_value(request).unwrap(), outcomes.clone());
    Box::new(move |storage| {
        let done = put_item::execute(storage, request).now_or_never().unwrap().map(drop).map_err(|error| error.to_string());
        let is_kept = done.is_ok();
        let answer = move |error: Option<&str>| {
            outcomes.send(error.map_or(done, |error| Err(error.to_owned()))).unwrap();
        };
        Written { is_kept, answer: Box::new(answer) }
    })
}

fn items(group: &Group) -> u32 {
    group.storage.conn().query_row("SELECT count(*) FROM Log", (), |row| row.get(0)).unwrap()
}

fn run(group: &Group, writes: &[(&str, usize)]) -> Vec<Result<(), String>> {
    let (sender, outcomes) = mpsc::channel();
    group.run(writes.iter().map(|(key, bytes)| put(key, *bytes, &sender)).collect());
    drop(sender);
    outcomes.iter().collect()
}

#[test]
fn a_write_that_fails_changes_nothing_and_the_others_are_kept() {
    let (_folder, group) = group(Durability::Full);
    let outcomes = run(&group, &[("a", 1), ("b", 1), ("a", 2), ("c", 1)]);
    let failed: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, false, true, false], "{outcomes:?}");
    assert_eq!(items(&group), 3);
    assert!(group.storage.conn().is_autocommit());
    // Alone, in dynoxide's own transaction.
    assert!(run(&group, &[("a", 1)])[0].is_err());
    assert!(run(&group, &[("d", 1)])[0].is_ok());
    assert_eq!(items(&group), 4);
}

#[test]
fn where_the_disk_is_full_no_write_of_the_group_is_answered_as_stored() {
    let (_folder, group) = group(Durability::Full);
    let connection = group.storage.conn();
    let pages: u32 = connection.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
    let limit = |pages: u32| connection.pragma_update(None, "max_page_count", pages).unwrap();
    limit(pages + 2);
    let outcomes = run(&group, &[("a", 1), ("b", 100_000), ("c", 1)]);
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(u32::try_from(stored).unwrap(), items(&group), "{outcomes:?}");
    assert!(connection.is_autocommit());
    limit(pages + 1_000);
    assert!(run(&group, &[("d", 1), ("e", 100_000)]).iter().all(Result::is_ok));
}

#[test]
fn writes_are_synced_unless_relaxed() {
    for (durability, level) in [(Durability::Full, 2), (Durability::Normal, 1)] {
        let (_folder, group) = group(durability);
        let found: u32 = group.storage.conn().query_row("PRAGMA synchronous", (), |row| row.get(0)).unwrap();
        assert_eq!(found, level);
    }
}
