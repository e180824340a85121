//! A generation's write units, as DynamoDB's answers count them, stay within bounds and near the estimate.
//!
//! Deltas arrive in injected time ([`Pacer`]).

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use longhand::estimate::{Estimate, Pace, Workload, estimate};
use longhand::limits::META_READ_EVERY;
use longhand::log::flush::Windows;
use longhand::{Clock, Config};
use longhand_local::{Options, Playback, Script};
use longhand_tests::pacer::Pacer;
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment, key_of};
use serde_json::json;

/// Of both tables and their indexes, for the whole life of one generation. The floor is 12: its text alone.
const WRITE_UNITS_MAX: u64 = 45;
/// How far an estimate may be from what is counted, in hundredths of it.
const TOLERANCE_PERCENT: u64 = 25;
/// Of the whole stream of the recorded answer.
const RECORDED: Duration = Duration::from_mins(1);

/// A stack whose writer is paced, and its provider.
struct Paced {
    harness: Harness,
    _playback: Playback,
    pacer: Pacer,
    clock: Clock,
    deltas: usize,
    bytes: usize,
    stream: Duration,
}

impl Paced {
    /// The provider's deltas arrive evenly within `stream`.
    async fn start(script: Script, stream: Duration, env: &[(&str, &str)]) -> Self {
        let (deltas, bytes) = (script.deltas.len(), script.text().len());
        let playback = play(script).unwrap();
        let clock = Clock::manual();
        let pacer = Pacer::new(&clock, stream / u32::try_from(deltas.max(1)).unwrap());
        let env = environment(playback.base_url(), env);
        let options = Options { clock: clock.clone(), env, parts: pacer.parts(), ..Options::default() };
        Self { harness: Harness::with(options).await, _playback: playback, pacer, clock, deltas, bytes, stream }
    }

    /// The generation that the script makes, without a reader.
    fn workload(&self) -> Workload {
        Workload {
            output_bytes: self.bytes as u64,
            deltas: self.deltas as u64,
            silence: Duration::ZERO,
            stream: self.stream,
            watched: Duration::ZERO,
            readers: 0,
            request_bytes: 60,
            response_bytes: 0,
        }
    }

    fn config(&self) -> Config {
        self.harness.config("stream")
    }

    /// Bytes of a record's item, without the result's JSON, and as if its names had the lengths that are usual on AWS.
    async fn record_bytes(&self, id: &str) -> u64 {
        fn bytes(value: &AttributeValue) -> usize {
            match value {
                AttributeValue::S(text) => text.len(),
                AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
                AttributeValue::M(entries) => {
                    3 + entries.iter().map(|(name, value)| 1 + name.len() + bytes(value)).sum::<usize>()
                }
                _ => 1,
            }
        }
        let get = self.harness.clients().await.dynamodb.get_item().table_name(self.config().records_table);
        let get = get.key("pk", AttributeValue::S(format!("local#{id}"))).key("sk", AttributeValue::S("record".into()));
        let item = get.send().await.unwrap().item.unwrap();
        let counted: usize =
            item.iter().filter(|(name, _)| *name != "llm_response").map(|(name, value)| name.len() + bytes(value)).sum();
        // An organization of 15 characters in three places, a bucket of 35, and a model of 20 in three places.
        (counted + 3 * 10 + 20 + 3 * 19) as u64
    }

    /// Reads of meta so far, by the keeper of the lease.
    fn looks(&self) -> usize {
        self.pacer.calls("GetItem", &self.config().buffer_table)
    }

    /// Read units of writer and compaction. `start` reads its organization's quota besides.
    ///
    /// The keeper of the lease looks at meta in real time, so the estimate is of a stream with as many looks as were counted.
    fn assert_reads_near(&self, workload: &Workload, pace: &Pace) {
        let looks = u32::try_from(self.looks()).unwrap();
        let stream = META_READ_EVERY * looks.saturating_sub(1);
        let estimate = estimate(&Workload { stream, ..*workload }, pace).unwrap();
        for (handler, estimated) in [("stream", estimate.reads.stream), ("compact", estimate.reads.compact)] {
            let counted = self.harness.stack.read_units(handler);
            println!("{handler}: {estimated} read units estimated, {counted} counted");
            let is_near = (estimated - counted).abs() <= (counted * 0.2).max(2.0);
            assert!(is_near, "{handler}: {estimated} estimated, {counted} counted, {looks} looks");
        }
    }
}

fn words(count: usize) -> Script {
    Script { deltas: vec!["palabra ".to_owned(); count], ..Script::default() }
}

/// Some 1,700 deltas, 11 KB, of ordinary English.
fn prose() -> Script {
    Script::new(include_str!("../../../LICENSE-APACHE").split_inclusive(' '))
}

fn assert_writes_near(estimate: &Estimate, counted: u64) {
    let estimated = estimate.writes.total();
    println!("{estimated} write units estimated, {counted} counted: {:?}", estimate.writes);
    assert!(estimated.abs_diff(counted) * 100 <= counted * TOLERANCE_PERCENT, "{estimate:?}, {counted} counted");
}

/// 3000 deltas, 12 KB, one minute.
#[tokio::test]
async fn unwatched_generation_costs_at_most_45() {
    let script = Script::recorded().unwrap();
    let (deltas, bytes) = (script.deltas.len(), script.text().len());
    assert!((3_000..3_100).contains(&deltas) && (12_000..13_000).contains(&bytes), "{deltas} deltas, {bytes} bytes");
    let env = [("LONGHAND_LEASE_SECONDS", "600"), ("LONGHAND_UNWATCHED_WINDOW_MS", "4000")];
    let paced = Paced::start(Script { tempo: 0.0, ..script }, RECORDED, &env).await;
    let id = paced.harness.start_generation(json!({})).await;
    let record = paced.harness.ended(&id).await;
    assert_eq!(record["status"], "completed");
    let units = paced.harness.stack.write_units();
    println!("{units} write units for {} chunks, {}", record["chunk_count"], record["progress"]);
    assert!((12..=WRITE_UNITS_MAX).contains(&units), "{units} write units");
    // Four seconds of text at a time, as the default window says.
    let chunks = record["chunk_count"].as_u64().unwrap();
    assert!((15..=18).contains(&chunks), "{record}");
    let (record_bytes, estimated) = (paced.record_bytes(&id).await, estimate(&paced.workload(), &Pace::default()).unwrap());
    // 330 are its entry in the index, and what DynamoDB adds to both.
    println!("the record without its JSON: {} bytes estimated, {record_bytes} counted", estimated.record_bytes - 330);
    assert!((estimated.record_bytes - 330).abs_diff(record_bytes) <= 120);
    // The recording is JSON, which the record keeps too.
    let workload = Workload { response_bytes: bytes as u64, ..paced.workload() };
    assert_writes_near(&estimate(&workload, &Pace { store: Duration::ZERO, ..Pace::default() }).unwrap(), units);
    paced.harness.finish().await;
}

#[tokio::test]
async fn filled_chunks_cost_what_is_estimated() {
    let paced = Paced::start(prose(), Duration::from_secs(5), &[]).await;
    let id = paced.harness.start_generation(json!({})).await;
    assert_eq!(paced.harness.ended(&id).await["status"], "completed");
    let pace = Pace { store: Duration::ZERO, ..Pace::default() };
    assert_writes_near(&estimate(&paced.workload(), &pace).unwrap(), paced.harness.stack.write_units());
    paced.assert_reads_near(&paced.workload(), &pace);
    paced.harness.finish().await;
}

#[tokio::test]
async fn watched_generation_costs_what_is_estimated() {
    let env = [("LONGHAND_WATCHED_WINDOW_MS", "20"), ("LONGHAND_STREAM_FUNCTION", "nobody")];
    let paced = Paced::start(words(40), Duration::from_secs(5), &env).await;
    let harness = &paced.harness;
    let id = harness.start_generation(json!({})).await;
    let read = harness.read_live(&id, None, |_| false);
    let write = async {
        let app = harness.stack.app().await.unwrap();
        let key = key_of(&id);
        let is_watched = async || {
            let seen = serde_json::to_value(app.inspect(&key).await.unwrap()).unwrap();
            seen["meta"]["watched_until"].is_i64()
        };
        while !is_watched().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        harness.stack.invoke("stream", json!({ "organization": "local", "generation": id, "fresh": true })).await.unwrap();
    };
    let ((events, has_ended), ()) = futures::join!(read, write);
    assert!(has_ended && events.len() > 30, "{} events", events.len());
    assert_eq!(harness.ended(&id).await["status"], "completed");
    let workload = Workload { watched: paced.stream, readers: 1, ..paced.workload() };
    let windows = Windows { watched: Duration::from_millis(20), ..Windows::default() };
    let pace = Pace { windows, store: Duration::ZERO, ..Pace::default() };
    assert_writes_near(&estimate(&workload, &pace).unwrap(), harness.stack.write_units());
    paced.assert_reads_near(&workload, &pace);
    paced.harness.finish().await;
}

/// The keeper of the lease looks at meta every second, and renews the lease every ten.
#[tokio::test]
async fn silent_provider_costs_one_in_ten_seconds() {
    const SECONDS: usize = 60;
    let script = Script { ending: longhand_local::playback::Ending::Stall, ..Script::new([""; 0]) };
    let paced = Paced::start(script, Duration::ZERO, &[("LONGHAND_LEASE_SECONDS", "600")]).await;
    let id = paced.harness.start_generation(json!({})).await;
    let config = paced.config();
    let app = paced.harness.stack.app().await.unwrap();
    paced.harness.until(&id, |record| record["status"] == "running").await;
    for _ in 0..SECONDS {
        paced.pacer.settled().await;
        paced.clock.advance(Duration::from_secs(1));
        let looks = paced.looks();
        while paced.looks() == looks {
            app.hints().send(&key_of(&id));
            paced.pacer.settled().await;
        }
    }
    paced.pacer.settled().await;
    // One is the claim.
    let renewals = paced.pacer.calls("UpdateItem", &config.buffer_table) - 1;
    assert_eq!(renewals, SECONDS / 10, "renewals of the lease");
    paced.harness.cancel(&id).await;
    paced.harness.finish().await;
}
