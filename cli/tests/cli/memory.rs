//! The compactor works in constant memory, however large the output.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use longhand_local::{Data, Options, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment, key_of};
use serde_json::{Value, json};

const DELTA_BYTES: usize = 64 * 1024;
const DELTAS: usize = 1_600;
/// The bar: resident memory of the process that compacts 100 MB.
const RESIDENT_KB_MAX: u64 = 128 * 1024;

/// The largest resident set that the process has had, in KB, by the kernel's account; `None` once it is gone.
fn peak_resident_kb(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().trim_end_matches("kB").trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_100_mb_output_is_compacted_in_less_than_128_mb_of_resident_memory() {
    let deltas = (0..DELTAS).map(|number| format!("{number:08}").repeat(DELTA_BYTES / 8)).collect();
    let playback = play(Script { deltas, ..Script::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        data: Data::Folder(folder.path().to_owned()),
        env: environment(playback.base_url(), &[("LONGHAND_MAX_OUTPUT_BYTES", "209715200")]),
        ..Options::default()
    };
    // Nothing compacts it by itself: that is for the process which is measured.
    let harness = Harness::without(&["Ended", "EveryMinute"], options).await;
    let id = harness.start_generation(json!({})).await;
    let bytes = DELTAS * DELTA_BYTES;
    harness.until(&id, |record| record["progress"]["received_bytes"] == bytes).await;
    let app = harness.stack.app().await.unwrap();
    while app.inspect(&key_of(&id)).await.unwrap().slots.last().is_none_or(|slot| slot.end.is_none()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.args(["compact", &id, "--json", "--data"]).arg(folder.path()).stdout(Stdio::piped());
    let mut compact = command.spawn().unwrap();
    let mut peak = 0;
    while compact.try_wait().unwrap().is_none() {
        peak = peak_resident_kb(compact.id()).unwrap_or(0).max(peak);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let output = compact.wait_with_output().unwrap();
    let compaction: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&compaction["bytes"], &compaction["was_compacted"]), (&json!(bytes), &json!(false)), "{compaction}");
    eprintln!("compacting {bytes} bytes took at most {peak} KB of resident memory");
    assert!((1..RESIDENT_KB_MAX).contains(&peak), "{peak} KB");
    let (_, inline) = harness.get(&format!("generations/{id}/output")).await;
    let stored = reqwest::get(inline["url"].as_str().unwrap()).await.unwrap().bytes().await.unwrap();
    assert_eq!(stored.len(), bytes, "the presigned URL gives the blob");
    harness.finish().await;
}
