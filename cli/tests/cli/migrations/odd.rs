//! Databases that are not as the field makes them: without keys and indexes, with numbers for text, damaged.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::{Place, migrate};

/// No key, no index, and chunks of no type, which SQLite keeps as numbers where they are given as such.
const SCHEMA: &str =
    "CREATE TABLE scenario_generations (id, organization_id, status, metadata, prompt, created_at, compacted_at);
    CREATE TABLE generation_chunks (scenario_generation_id, sequence, chunk);";

fn odd() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.sqlite");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    let insert =
        "INSERT INTO scenario_generations VALUES (?1, 1, 'complete', ?2, 'a prompt of an odd row', '2026-02-11 09:00:00', ?3)";
    let told = json!({ "provider": "abacus", "model": "gpt-5", "completed_at": "2026-02-11 08:00:00" }).to_string();
    let before = "2026-02-11 07:00:00";
    for id in [Some(1), Some(2), None, Some(3), Some(3)] {
        connection.execute(insert, params![id, told, before]).unwrap();
    }
    connection.execute(insert, params!["four", told, before]).unwrap();
    // Backwards, so that their order is not that of their rows.
    let mut chunk = connection.prepare("INSERT INTO generation_chunks VALUES (?1, ?2, ?3)").unwrap();
    for id in [1, 2] {
        chunk.execute(params![id, 5, "}"]).unwrap();
        chunk.execute(params![id, 4, 0]).unwrap();
        chunk.execute(params![id, 3, "."]).unwrap();
        chunk.execute(params![id, 2, 0]).unwrap();
        chunk.execute(params![id, 1, "{\"score\": "]).unwrap();
    }
    (folder, path.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_number_of_their_own_are_told_and_the_others_imported() {
    let ((folder, path), place) = (odd(), Place::new().await);
    let (migrate, report) = (migrate(&path), folder.path().join("report.jsonl").display().to_string());
    let before = std::fs::read(&path).unwrap();
    let backup = place.backup();
    let arguments = [&migrate[..], &["--json", "--report", &report, "--apply", "--backup", &backup]].concat();
    let applied = place.say(&arguments).await;
    let lines = applied.json();
    let counts = json!({ "changed": 2, "already_right": 0, "cannot": 4 });
    assert_eq!((applied.code, &lines[0]["counts"], &lines[1]["counts"]), (Some(1), &counts, &counts), "{applied:?}");
    assert_eq!(lines[2]["counts"][0]["count"], 6, "all rows are counted: {lines:?}");
    assert!(std::fs::read(&path).unwrap() == before, "the file is only read");
    let told: BTreeMap<String, Value> = std::fs::read_to_string(&report)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| (line["unit"].as_str().unwrap().to_owned(), line))
        .collect();
    assert_eq!(told.keys().collect::<Vec<_>>(), ["1", "2", "rowid 3", "rowid 4", "rowid 5", "rowid 6"]);
    assert!(told["rowid 4"]["cannot"].as_str().unwrap().contains("another row has the same"), "{told:?}");
    let codes: Vec<&str> =
        told["1"]["findings"].as_array().unwrap().iter().map(|found| found["code"].as_str().unwrap()).collect();
    // It ended before it was created, and was compacted before that.
    assert_eq!(codes, ["chunk_numbers", "times_out_of_order", "times_out_of_order"]);

    let page = place.harness.api.found("generations?limit=100").await;
    let ids: Vec<&str> = page["data"].as_array().unwrap().iter().map(|generation| generation["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2);
    for id in ids {
        let output = place.harness.api.found(&format!("generations/{id}/output")).await;
        assert_eq!(output["text"], "{\"score\": 0.0}", "no digit is lost, and none invented");
    }
    place.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_told_before_anything_is_read_of_it() {
    let ((_folder, path), place) = (odd(), Place::new().await);
    let migrate = migrate(&path);
    // The head of a page of a table.
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&[0x0d, 0xff, 0xff, 0xff, 0xff, 0xff]).unwrap();
    drop(file);
    let told = place.say(&migrate).await;
    assert!(told.code == Some(1) && told.stderr.contains("is damaged: "), "{told:?}");
    place.harness.finish().await;
}
