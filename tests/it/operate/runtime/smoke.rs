//! `infra/smoke.sh` on the stack that is deployed into ministack: everything that needs no AWS is checked, and the rest says so. Those of
//! the other checks that only read logs on AWS are tried on the embedded stack, which streams.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::iter;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use longhand_local::{Options, Script};
use longhand_tests::sensitive::play;
use longhand_tests::serial::turn;
use longhand_tests::{Harness, environment};

use super::ministack::{Ministack, key};
use super::tools::{self, workspace};

/// Where a shell finds programs: in `folder` first.
fn path_behind(folder: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap();
    env::join_paths(iter::once(folder.to_owned()).chain(env::split_paths(&path))).unwrap()
}

/// The lines of the script: what each check has come to, by its name.
fn checks(output: &Output) -> BTreeMap<String, String> {
    let told = String::from_utf8_lossy(&output.stdout);
    let lines = told.lines().filter(|line| ["ok ", "FAILED ", "SKIPPED "].iter().any(|result| line.starts_with(result)));
    let named = |line: &str| {
        let (result, rest) = line.split_once(' ').unwrap();
        let (name, _) = rest.trim_start().split_once("  ").unwrap();
        (name.to_owned(), result.to_owned())
    };
    lines.map(named).collect()
}

#[expect(clippy::print_stdout, reason = "the figures")]
#[tokio::test(flavor = "multi_thread")]
async fn smoke_test_checks_what_ministack_can_do() {
    let _turn = turn().await;
    let (Some((bootstrap, executable)), Some(aws)) = (tools::ministack(), tools::aws()) else { return };
    let playback = play(Script::recorded().unwrap()).unwrap();
    let ministack = Ministack::start(executable);
    let outputs = ministack.deploy(&bootstrap, playback.base_url());
    let key = key(&ministack.environment(&outputs)).await;
    let tools = path_behind(aws.parent().unwrap());
    let smoke = |key: &str, stack: &str| {
        let mut script = Command::new(workspace().join("infra/smoke.sh"));
        script
            .args([stack, "us-east-1", "--provider", "test", "--model", "m", "--long", "--delete"])
            .env_clear()
            .env("PATH", &tools)
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_ENDPOINT_URL", &ministack.url)])
            .env("LONGHAND_URL", ministack.api_url(&outputs))
            .env("LONGHAND_API_KEY", key);
        tokio::task::spawn_blocking(move || script.output().unwrap())
    };

    let output = smoke(&key, "longhand").await.unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    let expected = [
        ("stack", "ok"),
        ("API", "ok"),
        ("API key", "ok"),
        ("callers without a key", "ok"),
        ("a generation", "ok"),
        ("empty answer: 204", "ok"),
        ("empty answer: 304", "ok"),
        ("empty answer: HEAD", "ok"),
        ("live events", "SKIPPED"),
        ("a reader that leaves", "SKIPPED"),
        ("an alarm", "ok"),
        ("a generation of 20 minutes", "SKIPPED"),
        ("deletion", "SKIPPED"),
    ];
    let expected = expected.map(|(name, result)| (name.to_owned(), result.to_owned())).into();
    assert_eq!(checks(&output), expected, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());

    // What does not work is told, with an exit code.
    let output = smoke("lh_wrong", "longhand").await.unwrap();
    assert_eq!((&*checks(&output)["a generation"], output.status.code()), ("FAILED", Some(1)));
    let output = smoke(&key, "another").await.unwrap();
    assert_eq!((checks(&output), output.status.code()), ([("stack".to_owned(), "FAILED".to_owned())].into(), Some(1)));
}

/// In the place of the AWS CLI: what the logs would have, of a hand-over and of three invocations of `tail`, the last of which began long
/// before; and else the CLI itself.
const AWS: &str = r#"#!/bin/sh
case "$*" in
*handed_over*) echo 1 ;;
*platform.report*)
    report() { printf '"{\\\"time\\\":\\\"%s\\\",\\\"record\\\":{\\\"metrics\\\":{\\\"durationMs\\\":%s}}}"' "$(date -u +%Y-%m-%dT%H:%M:%S.000Z)" "$1"; }
    echo "[$(report 40.5), $(report 4600.5), $(report 99999)]" ;;
*) exec "$CLI" "$@" ;;
esac
"#;

#[expect(clippy::print_stdout, reason = "the figures")]
#[tokio::test(flavor = "multi_thread")]
async fn smoke_test_measures_readers() {
    let _turn = turn().await;
    let Some(cli) = tools::aws() else { return };
    let playback = play(Script { tempo: 40.0, ..Script::new(vec!["one more "; 400]) }).unwrap();
    let options = Options {
        env: environment(playback.base_url(), &[("LONGHAND_WATCHED_WINDOW_MS", "150")]),
        expose: true,
        ..Options::default()
    };
    let harness = Harness::with(options).await;
    let folder = tempfile::tempdir().unwrap();
    let aws = folder.path().join("aws");
    fs::write(&aws, AWS).unwrap();
    fs::set_permissions(&aws, fs::Permissions::from_mode(0o755)).unwrap();
    let path = path_behind(folder.path());
    let checks = r#"source infra/smoke.sh longhand us-east-1 --provider test --model m
        echo "$URL" >"$work/url"; echo any >"$work/key"
        is_long=yes long_seconds_min=0
        check "a long one" long_generation_is_handed_over >"$work/long" &
        check "live events" live_events_arrive
        check "a reader that leaves" reader_that_leaves_is_let_go
        wait && cat "$work/long""#;
    let mut script = Command::new("bash");
    script.args(["-c", checks]).current_dir(workspace()).env_clear().envs(harness.stack.environment("start"));
    script.env("PATH", path).env("URL", harness.stack.url()).env("CLI", cli);
    let output = tokio::task::spawn_blocking(move || script.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    let [live, left, long] = told.lines().collect::<Vec<_>>()[..] else {
        panic!("{told}{}", String::from_utf8_lossy(&output.stderr))
    };
    // The figure is right, whatever this machine makes of the bounds while it is busy. A chunk is stored every 150 ms.
    let median = live.split_once("median ").and_then(|(_, rest)| rest.split_once(" ms")).unwrap_or_else(|| panic!("{live}")).0;
    assert!((40..2_000).contains(&median.parse().unwrap()), "{live}");
    assert!(left.starts_with("ok ") && left.ends_with("its function ended after 4.6 s; at most 105"), "{left}");
    assert!(long.starts_with("ok ") && long.ends_with(" s, handed over 1 times"), "{long}");
    harness.finish().await;
}
