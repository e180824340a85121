//! `longhand demo`: the proof, for programs and for people.

use std::process::Command;

use serde_json::Value;

fn demo(arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_longhand")).arg("demo").args(arguments).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn the_demo_proves_that_what_is_stored_is_what_was_sent() {
    let (stdout, _) = demo(&["--tempo", "0", "--json"]);
    let proof: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(proof["status"], "completed");
    assert_eq!(proof["sent_sha256"], proof["stored_sha256"]);
    assert_eq!(proof["received_bytes"], 12_479);
    assert!(proof["blob_url"].as_str().unwrap().starts_with("s3://"));
    let fields = ["chunk_count", "generation_id", "received_chunks", "start_ms", "total_ms", "write_units"];
    assert!(fields.iter().all(|field| !proof[field].is_null()), "{proof}");
}

#[test]
fn the_demo_plays_any_file_of_deltas_and_shows_people_the_proof() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deltas.jsonl");
    std::fs::write(&file, "\"{\\\"v\\\": \"\n\"0\"\n\"\"\n\".78, \\\"e\\\": \\\"ñ😀\\\"}\"\n").unwrap();
    let (stdout, _) = demo(&["--tempo", "0", "--deltas", file.to_str().unwrap()]);
    assert!(stdout.contains("the blob's text is the text sent"), "{stdout}");
    assert!(stdout.contains("JSON with v, e"), "{stdout}");
    assert!(stdout.contains("ok    the reader who kept leaving and coming back saw the same"), "{stdout}");
}
