//! `longhand batches`, on a `longhand dev` that plays a recording.

use std::fs;

use longhand_local::Script;
use longhand_tests::sensitive::play;
use serde_json::Value;

use crate::arguments::longhand;
use crate::dev::Dev;

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_started_followed_repeated_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let playback = play(Script::new(["uno\n", "dos\n"])).unwrap();
    let provider = ["--provider", "openai", "--base-url", playback.base_url()];
    let (_dev, _) = Dev::start(folder.path(), &provider, &[("OPENAI_API_KEY", "k")]).await;
    let run = |arguments: &[&str], input: &str| {
        let arguments: Vec<&str> = ["batches"].into_iter().chain(arguments.iter().copied()).chain(["--data", &data]).collect();
        longhand(&arguments, input)
    };
    let good = |arguments: &[&str]| {
        let (code, output, message) = run(arguments, "");
        assert_eq!(code, 0, "{arguments:?}: {output}{message}");
        output
    };
    let file = folder.path().join("batch.jsonl");
    let lines = r#"{"name":"two","defaults":{"model":"m"}}
        {"custom_id":"a","subject":"s:a","request":{"prompt":"Hola"}}
        {"custom_id":"b","request":{"prompt":"Hola","response_format":{"type":"json_object"},"validation":"strict"}}"#;
    fs::write(&file, lines).unwrap();
    let (code, followed, said) = run(&["start", file.to_str().unwrap(), "--concurrency", "1", "--wait"], "");
    assert_ne!(code, 0, "one of its items failed: {followed}{said}");
    let id = said.lines().find_map(|line| line.strip_prefix("batch ")).unwrap().to_owned();
    assert!(followed.contains("a  completed\n") && followed.contains("b  failed: "), "{followed}");
    assert!(followed.ends_with("completed: 2 (1 completed, 1 failed), $0.00\n"), "{followed}");
    assert!(good(&["get", &id]).contains("2 (1 completed, 1 failed)"));
    assert!(good(&["list", "--status", "ended"]).contains(&id));
    let items = good(&["items", &id, "--status", "failed"]);
    assert!(items.contains("validation_error") && !items.contains("completed"), "{items}");
    let results: Vec<Value> = good(&["results", &id]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&results[0]["output"]["text"], &results[1]["output"]), (&"uno\ndos\n".into(), &Value::Null));
    assert!(good(&["report", &id]).contains("| 1 | b |  | failed |"));
    assert!(good(&["report", &id, "--as", "csv"]).contains("a,s:a,completed"));

    let again = good(&["retry", &id]);
    let (code, ..) = run(&["tail", again.trim()], "");
    assert_ne!(code, 0);
    assert_eq!(good(&["delete", &id]), format!("{id} is deleted\n"));
    assert_ne!(run(&["get", &id], "").0, 0);
    let whole = r#"{"items":[{}],"defaults":{"model":"m","prompt":"Hola"}}"#;
    let (code, stdin, message) = run(&["start", "-", "--wait", "--json"], whole);
    assert_eq!(code, 0, "{message}");
    let last: Value = serde_json::from_str(stdin.lines().last().unwrap()).unwrap();
    assert_eq!(last["counts"]["completed"], 1, "{stdin}");
    let ended = last["id"].as_str().unwrap();
    let (code, _, refused) = run(&["resize", ended, "--concurrency", "2"], "");
    assert!(code != 0 && refused.contains("it is completed"), "{refused}");
    for (input, expected) in [("", "is empty"), ("[]", "must begin with a JSON object"), ("{\"items\":[]}", "/items")] {
        let (code, _, refused) = run(&["start", "-"], input);
        assert!(code != 0 && refused.contains(expected), "{input}: {refused}");
    }
    // More than a body may have.
    let long = "x".repeat(2_500_000);
    let lines = format!(
        "{{\"defaults\":{{\"model\":\"m\"}}}}\n{{\"request\":{{\"prompt\":\"{long}\"}}}}\n{{\"request\":{{\"prompt\":\"{long}\"}}}}\n"
    );
    fs::write(&file, lines).unwrap();
    let (code, told, said) = run(&["start", file.to_str().unwrap(), "--wait"], "");
    assert!(code == 0 && said.contains("uploading 2 items, 5000") && told.contains("completed: 2 (2 completed)"), "{told}{said}");
    // None of them is so old.
    let (code, told, said) = longhand(&["retention", "--batches", "--dry-run", "--data", &data], "");
    assert!(code == 0 && told.is_empty() && said.contains("0 batches would be removed"), "{told}{said}");
}
