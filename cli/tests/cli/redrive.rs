//! `longhand redrive`: what Lambda gave up is done again, by the command as a person runs it, over the SDK's own SQS client.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhand_functions::Function;
use longhand_local::{Data, Options, Playback, Registry, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, PATIENCE, environment, key_of, start_stack, template_without};
use serde_json::json;

/// The product's functions, but that the one called `broken` always fails.
fn broken(broken: &'static str) -> Registry {
    Arc::new(move |name, app| {
        if name != broken {
            return longhand_functions::function(name, app);
        }
        Some(Function::Event(Arc::new(|_| Box::pin(std::future::ready(Err("broken".into()))))))
    })
}

async fn start(data: &Path, playback: &Playback, registry: Registry) -> Harness {
    let options = Options {
        data: Data::Folder(data.to_owned()),
        env: environment(playback.base_url(), &[]),
        retry_delay: Duration::from_millis(1),
        ..Options::default()
    };
    Harness::over(start_stack(options, &template_without(&["EveryMinute"]), registry).await)
}

/// The exit code and what was said on stdout.
async fn redrive(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.args(["redrive", "--data"]).arg(data).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn until_failures(harness: &Harness, count: usize) {
    let began = Instant::now();
    while harness.stack.failures().await.len() < count {
        assert!(began.elapsed() < PATIENCE, "nothing is given up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_done_again_and_only_what_is_done_is_deleted() {
    let playback = play(Script { deltas: vec!["uno ".into(), "dos".into()], ..Script::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let harness = start(data, &playback, broken("stream")).await;
    let never_begun = harness.start_generation(json!({})).await;
    let purged = harness.start_generation(json!({})).await;
    harness.cancel(&purged).await;
    harness.ended(&purged).await;
    until_failures(&harness, 2).await;
    let app = harness.stack.app().await.unwrap();
    app.purge(&key_of(&purged)).await.unwrap();
    harness.stack.shutdown().await;
    let harness = start(data, &playback, broken("compact")).await;
    let never_compacted = harness.start_generation(json!({})).await;
    until_failures(&harness, 3).await;
    harness.stack.shutdown().await;

    let harness = start(data, &playback, Arc::new(longhand_functions::function)).await;
    std::fs::write(data.join("failures/01arz3ndektsv4rrffq69g5fav.json"), r#"{"requestPayload":{"n":1}}"#).unwrap();
    let (code, told) = redrive(data, &["--dry-run"]).await;
    assert_eq!((code, harness.stack.failures().await.len()), (Some(1), 4), "{told}");
    for expected in [
        format!("stream local/{never_begun}  would be invoked again"),
        format!("stream local/{purged}  nothing to do: there is no such generation any more"),
        "compact, 1 record  1 log that nobody had compacted would be compacted".to_owned(),
        "unknown  kept: its `requestPayload` is no job of `stream`".to_owned(),
    ] {
        assert!(told.contains(&expected), "{expected}\n{told}");
    }
    let record = harness.get(&format!("generations/{never_compacted}")).await.1;
    assert!(record["compacted_at"].is_null(), "a dry run does nothing: {record}");

    let (code, told) = redrive(data, &[]).await;
    assert_eq!((code, harness.stack.failures().await.len()), (Some(1), 1), "{told}");
    assert_eq!(harness.ended(&never_begun).await["status"], "completed");
    assert_eq!(harness.text(&never_begun).await, "uno dos");
    let record = harness.ended(&never_compacted).await;
    assert_eq!((&record["status"], &record["compacted_by"]), (&json!("completed"), &json!("longhand redrive")));
    let (code, told) = redrive(data, &["--json"]).await;
    assert_eq!((code, told.lines().count()), (Some(1), 1), "what nobody can read stays, and is told again: {told}");
    std::fs::remove_file(data.join("failures/01arz3ndektsv4rrffq69g5fav.json")).unwrap();
    assert_eq!(redrive(data, &[]).await, (Some(0), String::new()));
    assert_eq!(playback.stats().requests, 2);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_log_still_cannot_be_compacted_is_kept_and_what_was_done_meanwhile_needs_nothing() {
    let playback = play(Script { deltas: vec!["uno".into()], ..Script::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let harness = start(data, &playback, broken("compact")).await;
    let id = harness.start_generation(json!({})).await;
    until_failures(&harness, 1).await;
    // What lies in the way is a folder of the name of the object.
    let bucket = std::fs::read_dir(data.join("s3")).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap().path();
    let way = bucket.join("local").join(&id).join("output.txt");
    std::fs::create_dir_all(way.join("x")).unwrap();
    let (code, told) = redrive(data, &[]).await;
    assert!(code == Some(1) && told.contains("cannot be compacted"), "{told}");
    assert_eq!(harness.stack.failures().await.len(), 1);
    std::fs::remove_dir_all(way).unwrap();
    let app = harness.stack.app().await.unwrap();
    app.compact(&key_of(&id), "a person").await.unwrap();
    let (code, told) = redrive(data, &[]).await;
    assert!(code == Some(0) && told.contains("0 logs that nobody had compacted were compacted"), "{told}");
    harness.finish().await;
}
