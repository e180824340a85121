//! `longhand retention`, as a person runs it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use longhand::GenerationId;
use longhand_local::{Data, Options};
use longhand_tests::Harness;
use serde_json::{Value, json};

/// The exit code, stdout and stderr.
async fn retention(data: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.args(["retention", "--data"]).arg(data).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_unless_it_is_said_and_a_person_is_told_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let harness = Harness::with(Options { data: Data::Folder(data.to_owned()), ..Options::default() }).await;
    // What a purge that died half-way, long ago, has left.
    let id = GenerationId::new(1_700_000_000_000);
    let bucket = std::fs::read_dir(data.join("s3")).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap().path();
    let left = bucket.join("acme").join(id.as_str());
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("output.txt"), "uno").unwrap();
    let object = std::fs::File::options().write(true).open(left.join("output.txt")).unwrap();
    object.set_modified(SystemTime::now() - Duration::from_hours(48)).unwrap();

    let (code, _, said) = retention(data, &["--days", "1"]).await;
    assert!(code == Some(2) && said.contains("--dry-run") && said.contains("--apply"), "{said}");
    let (code, told, said) = retention(data, &["--dry-run", "--organization", "other"]).await;
    assert!(code == Some(0) && told.is_empty() && said.contains("kept for ever"), "{told}{said}");
    let (code, told, said) = retention(data, &["--dry-run", "--days", "1"]).await;
    assert_eq!((code, told), (Some(0), format!("would remove  acme/{id}  objects without a record\n")), "{said}");
    assert!(left.join("output.txt").exists() && said.contains("1 generation would be removed, 0 could not be"), "{said}");
    let (code, told, said) = retention(data, &["--apply", "--json"]).await;
    let line: Value = serde_json::from_str(&told).unwrap();
    let expected = json!({ "organization": "acme", "generation": id, "what": "objects", "removed": true });
    assert_eq!((code, line), (Some(0), expected), "{said}");
    assert!(!left.join("output.txt").exists());
    harness.finish().await;
}
