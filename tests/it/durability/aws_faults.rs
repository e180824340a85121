//! AWS fails for a while: text that cannot be stored waits in memory, within bounds, and is stored once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use longhand_local::{Options, Playback, Script};
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::sensitive::play;
use longhand_tests::tap::Call;
use longhand_tests::{Harness, assert_whole, environment, start_stack, template_without};
use serde_json::json;

/// A stack whose calls meet `faults`, without scheduled sweeps.
async fn faulty(provider: &Playback, env: &[(&str, &str)], faults: &Faults) -> Harness {
    let options = Options {
        env: environment(provider.base_url(), env),
        parts: faults.parts(),
        retry_delay: Duration::from_millis(1),
        ..Options::default()
    };
    let registry = faults.registry(&options.clock);
    Harness::over(start_stack(options, &template_without(&["EveryMinute"]), registry).await)
}

fn is_append(function: &str, call: &Call) -> bool {
    function == "stream" && call.operation == "PutItem" && call.resource.contains("Buffer")
}

/// The first `times` calls that `is_hit` picks, behind the first `spared` of them.
fn the_first(spared: usize, times: usize, mode: Mode, is_hit: impl Fn(&str, &Call) -> bool + Send + Sync + 'static) -> Faults {
    let hits = AtomicUsize::new(0);
    Faults::deciding(move |_, function, call| {
        let hit = is_hit(function, call) && (spared..spared + times).contains(&hits.fetch_add(1, Ordering::SeqCst));
        hit.then_some(mode)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_writes_lose_no_text() {
    let lives = [Mode::Throttled, Mode::ServerError, Mode::Refused, Mode::AnswerLost].map(|mode| async move {
        let script = Script { tempo: 300.0, ..Script::new((0..100).map(|number| format!("{number} "))) };
        let provider = play(script.clone()).unwrap();
        // Twice as many as the SDK itself tries for one chunk.
        let faults = the_first(2, 8, mode, is_append);
        let harness = faulty(&provider, &[("LONGHAND_UNWATCHED_WINDOW_MS", "20")], &faults).await;
        let id = harness.start_generation(json!({})).await;
        let record = harness.ended(&id).await;
        assert_eq!(record["status"], "completed", "{mode:?}: {record}");
        assert_eq!(harness.text(&id).await, script.text(), "{mode:?}");
        assert_whole(&harness.events(&id).await);
        assert_eq!(provider.stats().requests, 1, "{mode:?}");
        let hit = faults.made().iter().filter(|made| made.met.is_some()).count();
        assert_eq!(hit, 8, "{mode:?}: every planned fault was met");
        harness.finish().await;
    });
    futures::future::join_all(lives).await;
}

/// The most that the two ends of a connection buffer: the last figure of each file
/// (<https://docs.kernel.org/networking/ip-sysctl.html>).
fn socket_bytes_max() -> u64 {
    let limits = ["/proc/sys/net/ipv4/tcp_rmem", "/proc/sys/net/ipv4/tcp_wmem"].map(std::fs::read_to_string);
    let max = |limits: std::io::Result<String>| limits.ok()?.split_whitespace().next_back()?.parse::<u64>().ok();
    limits.into_iter().map(|limits| max(limits).unwrap_or(8 * 1024 * 1024)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn unstored_text_is_bounded() {
    const DELTA_BYTES: usize = 64 * 1024;
    // Far more than is held in memory, and than the sockets between take.
    const DELTAS: usize = 1_200;
    const MEMORY_BYTES_MAX: u64 = 16 * 1024 * 1024;
    const QUIET_LOOKS: u32 = 60;
    let held_bytes_max = MEMORY_BYTES_MAX + socket_bytes_max();
    let script = Script::new((0..DELTAS).map(|number| format!("{number:05}").repeat(DELTA_BYTES / 5)));
    let provider = play(script.clone()).unwrap();
    let gate = std::sync::Arc::new(AtomicUsize::new(0));
    let is_shut = std::sync::Arc::clone(&gate);
    let faults = Faults::deciding(move |_, function, call| {
        (is_append(function, call) && is_shut.load(Ordering::SeqCst) == 1).then_some(Mode::Throttled)
    });
    let env = [("LONGHAND_MAX_OUTPUT_BYTES", "134217728"), ("AWS_MAX_ATTEMPTS", "1")];
    let harness = faulty(&provider, &env, &faults).await;
    gate.store(1, Ordering::SeqCst);
    let id = harness.start_generation(json!({})).await;
    let turned_away = || faults.made().iter().filter(|made| made.met.is_some()).count();
    // The first chunk is turned away before the provider is asked, so it opens once and shuts again.
    while turned_away() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gate.store(0, Ordering::SeqCst);
    while provider.stats().bytes == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    gate.store(1, Ordering::SeqCst);
    // Until nothing more is read, for so many looks.
    let (mut read, mut same) = (0, 0);
    while same < QUIET_LOOKS {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let now = provider.stats().bytes;
        (read, same) = (now, if now == read { same + 1 } else { 0 });
    }
    assert!(turned_away() > 1, "nothing could be stored");
    let (sent, stored) = (provider.stats().bytes, harness.get(&format!("generations/{id}")).await.1);
    let stored = stored["progress"]["received_bytes"].as_u64().unwrap();
    assert!(sent - stored <= held_bytes_max, "{sent} bytes were read, and {stored} stored");
    gate.store(0, Ordering::SeqCst);
    // Storing so much takes longer than the patience of `ended` on a busy machine.
    while harness.get(&format!("generations/{id}")).await.1["compacted_at"].is_null() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], record["bytes"].as_u64()), (&json!("completed"), Some(script.text().len() as u64)));
    assert_eq!((provider.stats().requests, record["sha256"].as_str()), (1, Some(provider.stats().sent_sha256.as_str())));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_upload_leaves_one_whole_object() {
    let script = Script::new((0..40).map(|number| format!("{number:05}").repeat(60_000)));
    let cases = [
        ("CreateMultipartUpload", Mode::ServerError, "1"),
        ("UploadPart", Mode::Throttled, "1"),
        ("UploadPart", Mode::AnswerLost, "1"),
        ("CompleteMultipartUpload", Mode::Refused, "1"),
        ("CompleteMultipartUpload", Mode::AnswerLost, "1"),
        ("UploadPart", Mode::ServerError, "4"),
    ];
    for (operation, mode, tries_of_the_sdk) in cases {
        let provider = play(script.clone()).unwrap();
        let faults = the_first(0, 1, mode, move |function, call| function == "compact" && call.operation == operation);
        let harness = faulty(&provider, &[("AWS_MAX_ATTEMPTS", tries_of_the_sdk)], &faults).await;
        let id = harness.start_generation(json!({})).await;
        let record = harness.ended(&id).await;
        let what = format!("{operation} {mode:?}");
        assert_eq!(
            (&record["status"], record["sha256"].as_str()),
            (&json!("completed"), Some(provider.stats().sent_sha256.as_str())),
            "{what}"
        );
        let calls = |named: &str| faults.made().iter().filter(|made| made.call.operation == named).count();
        assert_eq!(faults.made().iter().filter(|made| made.met.is_some()).count(), 1, "{what}");
        if operation == "UploadPart" && tries_of_the_sdk == "1" {
            assert_eq!(calls("AbortMultipartUpload"), 1, "{what}: nothing is left of the first upload");
        }
        if tries_of_the_sdk == "4" {
            assert_eq!(calls("CreateMultipartUpload"), 1, "{what}: the part alone is sent again");
        }
        harness.finish().await;
    }
}
