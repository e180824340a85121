//! A first hour with the command, on a `longhand dev` that plays a recording.

use std::process::Command;

use longhand_local::Script;
use longhand_tests::sensitive::play;
use serde_json::{Value, json};

use crate::arguments::longhand;
use crate::dev::Dev;

#[tokio::test(flavor = "multi_thread")]
async fn generation_is_started_found_read_repeated_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let playback = play(Script::new(["Ho", "la"])).unwrap();
    let provider = ["--provider", "openai", "--base-url", playback.base_url()];
    let (_dev, _) = Dev::start(folder.path(), &provider, &[("OPENAI_API_KEY", "k")]).await;
    let run = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--data", &data]).collect();
        let (code, output, message) = longhand(&arguments, "");
        (code, output, message)
    };
    let good = |arguments: &[&str]| {
        let (code, output, message) = run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {output}{message}");
        output
    };
    let parsed = |arguments: &[&str]| -> Value { serde_json::from_str(&good(arguments)).unwrap() };

    let start = ["start", "--prompt", "Hola", "--model", "m", "--metadata", "team=a", "--metadata", "k=v=w"];
    assert_eq!(good(&[&start[..], &["--wait"]].concat()), "Hola");
    shows_text_live_on_a_terminal(&data);
    let record = parsed(&["list", "--json", "--metadata", "team=a", "--status", "completed"]);
    let id = record["id"].as_str().unwrap();
    assert_eq!(record["request_metadata"]["k"], "v=w", "{record}");
    let (_, _, none) = run(&["list", "--metadata", "team=b"]);
    assert_eq!(none, "no generations among 2 looked at\n");
    assert_eq!(good(&["output", id]), "Hola");
    assert_eq!(parsed(&["output", id, "--json"])["bytes"], 4);
    assert!(good(&["token", id, "--expires-in", "60"]).starts_with("lh"), "a token");

    let again = parsed(&["retry", id, "--json"])["id"].as_str().unwrap().to_owned();
    good(&["tail", &again]);
    assert_eq!(parsed(&["get", &again, "--json"])["retry_of"], id);
    let (_, _, deleted) = run(&["compact", id, "--delete"]);
    assert!(deleted.ends_with(" items deleted\n"), "{deleted}");
    let (_, _, deleted) = run(&["inspect", &again, "--delete"]);
    assert!(deleted.ends_with(" items deleted\n"), "{deleted}");
    assert_eq!(good(&["output", id]), "Hola", "the result is in the bucket");
    let events = good(&["tail", id, "--json"]);
    let first: Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert_eq!(first, json!({ "seq": 0, "type": "created" }));
    let populated = parsed(&["populate", id, "--json"]);
    assert_eq!(populated["events"], events.lines().count());
    assert_eq!(parsed(&["inspect", id, "--json"])["slots"].as_array().unwrap().len() as u64, populated["chunk_count"]);
    assert_eq!(good(&["tail", id, "--json"]), events, "the same events");
    assert_eq!(parsed(&["compact", id, "--json"])["was_compacted"], true);
    let (code, _, refused) = run(&["purge", id]);
    assert_eq!((code, refused.as_str()), (2, "error: purge deletes for good: give --yes\n"));
    good(&["purge", id, "--yes"]);
    let (code, _, gone) = run(&["get", id]);
    assert!(code == 1 && gone.contains("there is no generation"), "{gone}");
}

#[test]
fn metadata_is_validated_by_hand() {
    let metadata = r#"{"provider":"p","model":"m","progress":{"received_chunks":-1,"received_bytes":0}}"#;
    let (code, output, message) = longhand(&["validate", "-"], metadata);
    assert_eq!((code, message.as_str()), (1, "it does not fit the contract\n"));
    assert_eq!(output, "metadata/progress/received_chunks: must be at least 0\n");
    let (code, output, _) = longhand(&["validate", "-", "--json"], r#"{"provider":"p","model":"m"}"#);
    assert_eq!((code, output.as_str()), (0, "{\"valid\":true,\"errors\":[]}\n"));
}

#[test]
fn shells_and_manuals_know_every_command() {
    for (arguments, has) in
        [(vec!["completions", "bash"], "_longhand()"), (vec!["completions", "fish"], "retry"), (vec!["man"], ".TH longhand")]
    {
        let (code, output, _) = longhand(&arguments, "");
        assert!(code == 0 && output.contains(has), "{arguments:?}: {output}");
    }
}

/// In a pseudo-terminal, by `script` of util-linux.
fn shows_text_live_on_a_terminal(data: &str) {
    let command = format!("{} start --prompt Hola --model m --wait --data {data}", env!("CARGO_BIN_EXE_longhand"));
    let Ok(ran) = Command::new("script").args(["--quiet", "--return", "--command", &command, "/dev/null"]).output() else {
        eprintln!("SKIPPED: text on a terminal. It needs `script` of util-linux.");
        return;
    };
    let shown = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{shown}");
    let (text, fields) = (shown.find("Hola").unwrap(), shown.find("sha256").unwrap());
    assert!(text < fields && shown.matches("Hola").count() == 1, "{shown}");
}
