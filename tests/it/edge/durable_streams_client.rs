//! The official Durable Streams client, npm `@durable-streams/client`, follows a generation to its end.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use longhand_local::{Options, Script};
use longhand_tests::sampling::sample;
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, PATIENCE, assert_whole, environment, seed};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::edge::durable_streams::offset;

/// Where the client is installed; without it there is nothing to test.
fn node_modules() -> Option<String> {
    let folder = std::env::var("LONGHAND_NODE_MODULES").ok();
    if folder.is_none() {
        // Not by `eprintln!`, which the test harness keeps to itself.
        let loud = b"\nSKIPPED: LONGHAND_NODE_MODULES does not say where npm's @durable-streams/client is installed.\n";
        std::io::stderr().write_all(loud).unwrap();
    }
    folder
}

/// What the client saw, and its last word: offset, and whether the stream is closed.
async fn follow(node_modules: &str, harness: &Harness, id: &str, live: &str, from: &str) -> (Vec<Value>, Value) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/durable_streams.mjs");
    let url = format!("{}/v1/stream/generations/{id}", harness.stack.url());
    let mut node = Command::new("node");
    node.arg(script).args([&url, live, from]).env("LONGHAND_NODE_MODULES", node_modules).kill_on_drop(true);
    node.env("LONGHAND_API_KEY", &harness.stack.key().unwrap().text);
    let output = timeout(PATIENCE, node.output()).await.unwrap().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{live} from {from}: {complaints}");
    let mut lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.pop().unwrap();
    (lines, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn official_client_reaches_the_end() {
    let Some(node_modules) = node_modules() else { return };
    let script = Script {
        first_byte_delay: Duration::from_millis(500),
        tempo: 100.0,
        ..Script::new((0..300).map(|number| format!("{number} ñ\r\n")))
    };
    // Shorter than the generation, so that the clients poll in vain, and reconnect.
    let env = [("LONGHAND_LONG_POLL_MS", "300"), ("LONGHAND_SSE_CONNECTION_MS", "1500")];
    let playback = play(script).unwrap();
    let env = environment(playback.base_url(), &env);
    let harness = Harness::with(Options { authorize: true, env, ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    let modes = ["auto", "long-poll", "sse"];
    let live = futures::future::join_all(modes.map(|live| follow(&node_modules, &harness, &id, live, "-1"))).await;
    harness.ended(&id).await;
    let events = harness.events(&id).await;
    assert_whole(&events);
    for (mode, (seen, last)) in modes.iter().zip(&live) {
        assert_eq!(seen, &events, "{mode}, while it was written");
        assert_eq!(last, &json!({ "offset": offset(events.len()), "closed": true }), "{mode}");
    }
    let replays = modes.into_iter().flat_map(|mode| [0, 5, events.len()].map(|from| (mode, from))).collect();
    for (mode, from) in sample(seed(), replays, 3) {
        let (seen, last) = follow(&node_modules, &harness, &id, mode, &offset(from)).await;
        assert_eq!(seen, events[from..], "{mode} from {from}");
        assert_eq!(last["closed"], true, "{mode} from {from}");
    }
    harness.finish().await;
}
