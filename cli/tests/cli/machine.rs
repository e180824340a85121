//! What the machine may do to a stack: its clock steps, and its disk is full.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use longhand_local::Script;
use longhand_tests::sensitive::play;
use longhand_tests::{Api, assert_whole};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::dev::Dev;

fn script() -> Script {
    let deltas: Vec<String> = (0..150).map(|number| format!("{number} ñ ")).collect();
    Script { deltas, tempo: 50.0, ..Script::default() }
}

async fn start(data: &Path, base_url: &str, environment: &[(&str, &str)]) -> (Dev, Api) {
    let environment = [&[("LONGHAND_UNWATCHED_WINDOW_MS", "20")], environment].concat();
    let (dev, place) = Dev::start(data, &["--provider", "test", "--base-url", base_url], &environment).await;
    (dev, Api::open(&place.url).with_key(&place.key))
}

/// A generation that has received text, and is being written.
async fn begun(api: &Api) -> String {
    let id = api.start_generation(json!({})).await;
    api.until(&id, |record| record["progress"]["received_bytes"].as_u64() > Some(0)).await;
    id
}

async fn assert_completed(api: &Api, id: &str, text: &str) -> Value {
    let record = api.ended(id).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(api.text(id).await, text);
    assert_whole(&api.events(id).await);
    record
}

/// libfaketime, from `LONGHAND_FAKETIME` or where Debian's package has it.
fn libfaketime() -> Option<PathBuf> {
    let given = std::env::var_os("LONGHAND_FAKETIME").map(PathBuf::from);
    let installed = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut found = given.into_iter().chain(installed.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")));
    let library = found.find(|path| path.is_file());
    if library.is_none() {
        eprintln!(
            "SKIPPED: steps of the clock. Install libfaketime (Debian: libfaketime), or set LONGHAND_FAKETIME to libfaketimeMT.so.1."
        );
    }
    library
}

/// Backwards by more than the quarter of an hour for which S3 takes a signature, forwards by more than a lease, and back.
#[tokio::test(flavor = "multi_thread")]
async fn steps_of_the_clock_lose_nothing() {
    let Some(library) = libfaketime() else { return };
    let (folder, steps) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let offset = steps.path().join("offset");
    let step = |seconds: i32| {
        let next = steps.path().join("next");
        fs::write(&next, format!("{seconds:+}\n")).unwrap();
        fs::rename(&next, &offset).unwrap();
    };
    step(0);
    let playback = play(script()).unwrap();
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let (_dev, api) = start(folder.path(), playback.base_url(), &environment).await;
    let mut moments = Vec::new();
    for seconds in [-1_200, 1_200, -3_600, 0] {
        let id = begun(&api).await;
        step(seconds);
        let record = assert_completed(&api, &id, &script().text()).await;
        moments.push(record["completed_at"].as_str().unwrap().to_owned());
        let after = api.start_generation(json!({})).await;
        assert_completed(&api, &after, &script().text()).await;
    }
    assert!(moments[0] < moments[1] && moments[1] > moments[2], "the clock did step: {moments:?}");
}

/// A small file system of its own, unmounted when it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`: this process may not mount.
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: a full disk. Mounting a file system needs root.");
        None
    }

    /// Writes a file until there is no room left.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = fs::File::create(&path).unwrap();
        for size in [64 * 1024, 512, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_refuses_new_work_and_loses_none() {
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let data = disk.0.path().join("data");
    let playback = play(script()).unwrap();
    let (_dev, api) = start(&data, playback.base_url(), &[]).await;
    let running = begun(&api).await;
    let shown = api.events(&running).await;
    let filler = disk.fill();
    let (status, problem) = api.post(&json!({ "provider": "test", "model": "m", "prompt": "p" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable")), "{problem}");
    assert!(api.get(&format!("generations/{running}")).await.0.is_success(), "what is there can be read");
    fs::remove_file(filler).unwrap();
    assert_completed(&api, &running, &script().text()).await;
    assert_eq!(api.events(&running).await[..shown.len()], shown[..], "what a reader saw has not changed");
    let after = api.start_generation(json!({})).await;
    assert_completed(&api, &after, &script().text()).await;
}
