//! A hostile provider that is not ours: the program that `LONGHAND_HOSTILE_PROVIDER` names. It takes a port, plays the script that a
//! URL's first segment names, and counts its requests at `/stats`.

use std::env;
use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use futures::future::join_all;
use longhand_tests::{Harness, PATIENCE, assert_whole};
use serde_json::{Map, Value, json};

use super::assert_counted;

/// The script, the expected end, the requests, and the text that is kept.
type Row = (&'static str, &'static str, u64, &'static str);

const ALL: &str = "Uno dos tres";
const ROWS: [Row; 51] = [
    ("ok", "completed", 1, ALL),
    ("zero", "completed", 1, "v: 0.9"),
    ("utf8split", "completed", 1, "Uno €ñ😀中dos"),
    ("crlfsplit", "completed", 1, "Uno dos"),
    ("cr", "completed", 1, "Uno dos"),
    ("nospace", "completed", 1, "Uno dos"),
    ("bom", "completed", 1, ALL),
    ("comments", "completed", 1, "Uno dos"),
    ("multiline", "completed", 1, "Uno"),
    ("noblank", "completed", 1, ALL),
    ("nodone", "completed", 1, ALL),
    ("cleancut", "interrupted", 1, ALL),
    ("cut", "interrupted", 1, ALL),
    ("rst", "interrupted", 1, ALL),
    ("badutf8", "provider_unreadable", 1, "Uno "),
    ("surrogate", "completed", 1, "Uno s😀 tz"),
    ("badjson", "provider_unreadable", 1, "Uno "),
    ("miderr", "provider_error", 1, "Uno dos "),
    ("miderrevent", "provider_error", 1, "Uno dos "),
    ("newfields", "completed", 1, "Uno"),
    ("minimal", "completed", 1, "Uno dos"),
    ("reason", "completed", 1, "existo"),
    ("stall", "idle_timeout", 1, "Uno dos "),
    ("pingstall", "idle_timeout", 1, "Uno dos "),
    ("slowhdr", "first_byte_timeout", 4, ""),
    ("err429", "rate_limited", 4, ""),
    ("err503", "provider_unavailable", 4, ""),
    ("err400", "provider_rejected", 1, ""),
    ("json200", "provider_not_a_stream", 1, ""),
    ("html200", "provider_not_a_stream", 1, ""),
    ("nd-ok", "provider_not_a_stream", 1, ""),
    ("nd-split", "provider_not_a_stream", 1, ""),
    ("nd-cleancut", "provider_not_a_stream", 1, ""),
    ("nd-cut", "provider_not_a_stream", 1, ""),
    ("nd-err", "provider_not_a_stream", 1, ""),
    ("an-ok", "provider_not_a_stream", 1, ""),
    ("an-crlfsplit", "provider_not_a_stream", 1, ""),
    ("an-cleancut", "provider_not_a_stream", 1, ""),
    ("an-cut", "provider_not_a_stream", 1, ""),
    ("an-err", "provider_not_a_stream", 1, ""),
    ("gm-ok", "provider_not_a_stream", 1, ""),
    ("gm-cleancut", "provider_not_a_stream", 1, ""),
    ("gm-cut", "provider_not_a_stream", 1, ""),
    ("gm-err", "provider_not_a_stream", 1, ""),
    ("gm-block", "provider_not_a_stream", 1, ""),
    ("rs-ok", "provider_not_a_stream", 1, ""),
    ("rs-cleancut", "provider_not_a_stream", 1, ""),
    ("rs-cut", "provider_not_a_stream", 1, ""),
    ("rs-failed", "provider_not_a_stream", 1, ""),
    ("rs-incomplete", "provider_not_a_stream", 1, ""),
    ("rs-error", "provider_not_a_stream", 1, ""),
];

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Peer {
    async fn start(program: &str) -> (Self, String) {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let python = env::var("LONGHAND_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let peer = Self(Command::new(python).arg(program).arg(port.to_string()).spawn().unwrap());
        let (url, began) = (format!("http://127.0.0.1:{port}"), Instant::now());
        while reqwest::get(format!("{url}/stats")).await.is_err() {
            assert!(began.elapsed() < PATIENCE, "{program} does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        (peer, url)
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "a test that did not run must not look like one that passed")]
async fn every_peer_script_ends() {
    let Ok(program) = env::var("LONGHAND_HOSTILE_PROVIDER") else {
        eprintln!("SKIPPED: LONGHAND_HOSTILE_PROVIDER must name the program of a hostile provider.");
        return;
    };
    let (_peer, url) = Peer::start(&program).await;
    let settings = |(name, ..): &Row| ((*name).to_owned(), json!({ "base_url": format!("{url}/{name}/v1") }));
    let providers = Value::Object(ROWS.iter().map(settings).collect::<Map<_, _>>()).to_string();
    let env = [
        ("LONGHAND_PROVIDERS", providers.as_str()),
        ("LONGHAND_IDLE_TIMEOUT_MS", "2000"),
        ("LONGHAND_FIRST_BYTE_TIMEOUT_MS", "6000"),
    ];
    let harness = Harness::start("http://127.0.0.1:9", &env).await;
    let ends = join_all(ROWS.iter().map(|(name, ..)| end(&harness, name))).await;
    let stats: Value = reqwest::get(format!("{url}/stats")).await.unwrap().json().await.unwrap();
    println!("{:<14} {:<22} requests text", "script", "end");
    let mut wrong = Vec::new();
    for ((name, expected, requests, text), (end, kept)) in ROWS.iter().zip(ends) {
        println!("{name:<14} {end:<22} {:<8} {kept:?}", stats[name][0]);
        if (end.as_str(), &stats[name][0], kept.as_str()) != (expected, &json!(requests), text) {
            wrong.push(*name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    harness.finish().await;
}

/// The reason, or the status where there is none, and the text.
async fn end(harness: &Harness, provider: &str) -> (String, String) {
    let id = harness.start_generation(json!({ "provider": provider, "max_attempts": 1 })).await;
    let record = harness.ended(&id).await;
    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_counted(harness, &record, &events).await;
    let word = record["reason"].as_str().or(record["status"].as_str()).unwrap();
    (word.to_owned(), harness.text(&id).await)
}
