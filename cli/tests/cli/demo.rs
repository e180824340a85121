//! `longhand demo`: the proof, for programs and for people.

use std::process::Command;

use longhand_tests::hostile::{Hostile, Script, wire};
use serde_json::{Value, json};

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
fn the_demo_of_a_batch_tells_what_failed_and_verifies_the_notification() {
    let (stdout, _) = demo(&["--batch", "--tempo", "0", "--json"]);
    let figures: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&figures["counts"]["completed"], &figures["counts"]["failed"]), (&json!(10), &json!(2)));
    assert_eq!((&figures["texts_equal"], &figures["event"]["type"]), (&json!(10), &json!("batch.completed")));
    let (people, _) = demo(&["--batch", "--tempo", "0"]);
    assert!(people.contains("item-5  failed: ") && people.contains("10 texts are the text that was sent"), "{people}");
}

#[test]
fn the_demo_of_a_pipeline_tries_one_agent_again_and_counts_what_was_told() {
    let (stdout, _) = demo(&["--pipeline", "--tempo", "0", "--json"]);
    let figures: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&figures["steps"], &figures["generations"], &figures["status"]), (&json!(18), &json!(19), &json!("completed")));
    assert!(figures["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{figures}");
    let report = &figures["report"];
    assert_eq!((&report["is_coherent"], report["run"]["checks"].as_array().unwrap().len()), (&json!(true), 7));
    assert_eq!((&report["run"]["cost"], &figures["run_id"]), (&figures["cost"], &report["run"]["id"]));
    let again = report["steps"].as_array().unwrap().iter().filter(|step| step["tries"] != 1);
    assert_eq!(again.map(|step| (&step["id"], &step["tries"])).collect::<Vec<_>>(), [(&json!("E5"), &json!(2))]);
    let (people, _) = demo(&["--pipeline", "--tempo", "0"]);
    let row = |parts: [&str; 3]| people.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(row(["Entrenamiento  E5 Engineer", "broke off    1", "%"]), "{people}");
    assert!(row(["Entrenamiento  E5 Engineer", "completed    2", "%"]), "{people}");
    assert!(row(["Nutrición      N8 Watchdog", "completed    1", "[##################] 100.0 %"]), "{people}");
    assert!(
        people.contains("ok    the run's cost is that of its tokens, by hand  $0.001") && !people.contains("FAIL"),
        "{people}"
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn result_of_two_message_items_is_proved() {
    let thought = wire::delta(json!({ "reasoning_content": "hm" }));
    let script = Script::stream([wire::role(), wire::text("Uno "), thought, wire::text("dos"), wire::ending()]);
    let hostile = Hostile::start([("two", vec![script])]).await;
    let base_url = hostile.base_url("two");
    let run = move || {
        let provider = ["--provider", "two", "--base-url", &base_url, "--model", "m", "--readers", "true"];
        (demo(&[&provider[..], &["--json"]].concat()).0, demo(&provider).0)
    };
    let (json, text) = tokio::task::spawn_blocking(run).await.unwrap();
    let proof: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&proof["status"], &proof["received_bytes"]), (&json!("completed"), &json!(9)), "{proof}");
    assert!(text.contains("7 bytes") && !text.contains("FAIL"), "{text}");
}
