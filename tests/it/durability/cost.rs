//! What a generation costs in write units, counted by DynamoDB's own answers and not by the clock; and that the estimate of it
//! says the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhand::Clock;
use longhand::estimate::{Estimate, Pace, Workload, estimate};
use longhand::log::flush::Windows;
use longhand_local::{Options, Script};
use longhand_tests::faults::Faults;
use longhand_tests::said::play;
use longhand_tests::{Harness, environment, sse};
use serde_json::json;

/// Of both tables and their indexes, for the whole life of one generation. The floor is 12: its text alone.
const WRITE_UNITS_MAX: u64 = 60;
/// The test's time runs this much faster than the machine's.
const SPEED: u32 = 40;
const SECONDS: f64 = 60.0;
/// How far an estimate may be from what is counted, in hundredths of it.
const TOLERANCE_PERCENT: u64 = 25;

/// Lets `clock` run at [`SPEED`] until dropped.
struct FastClock(Arc<AtomicBool>);

impl FastClock {
    fn run(clock: &Clock) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, clock) = (Arc::clone(&stop), clock.clone());
        tokio::spawn(async move {
            let mut seen = tokio::time::Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                clock.advance(seen.elapsed() * (SPEED - 1));
                seen = tokio::time::Instant::now();
            }
        });
        Self(stop)
    }
}

impl Drop for FastClock {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwatched_generation_of_3000_deltas_12_kb_and_60_seconds_costs_at_most_60_write_units() {
    let script = Script::recorded().unwrap();
    let (deltas, bytes) = (script.deltas.len(), script.text().len());
    assert!((3_000..3_100).contains(&deltas) && (12_000..13_000).contains(&bytes), "{deltas} deltas, {bytes} bytes");
    #[expect(clippy::cast_precision_loss, reason = "three thousand")]
    let playback = play(Script { tempo: deltas as f64 / SECONDS * f64::from(SPEED), ..script }).unwrap();
    let clock = Clock::system();
    // Real time passes slowly: the keeper of the lease, which waits in real time, must not take the writer for silent.
    let env =
        environment(playback.base_url(), &[("LONGHAND_LEASE_SECONDS", "600"), ("LONGHAND_GENERATION_TIMEOUT_MS", "3600000")]);
    let harness = Harness::with(Options { clock: clock.clone(), env, ..Options::default() }).await;
    let fast = FastClock::run(&clock);
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    drop(fast);
    assert_eq!(record["status"], "completed");
    let units = harness.stack.write_units();
    eprintln!("{units} write units for {} chunks, {}", record["chunk_count"], record["progress"]);
    assert!((12..=WRITE_UNITS_MAX).contains(&units), "{units} write units");
    // It did run for a minute, by its own clock: the text waited two seconds at a time, not for one flush at the end.
    let chunks = record["chunk_count"].as_u64().unwrap();
    assert!((15..=40).contains(&chunks), "{chunks} chunks");
    // The recording is JSON, which the record keeps too.
    let workload = Workload { response_bytes: bytes as u64, ..workload(deltas, bytes, Duration::from_secs_f64(SECONDS)) };
    assert_near(&estimate(&workload, &Pace { store: Duration::ZERO, ..Pace::default() }).unwrap(), units);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_estimate_of_a_generation_that_fills_its_chunks_is_what_is_counted() {
    // A write unit in a third of a second: no store takes so long that more than that waits for it, not on a busy machine either.
    let (deltas, tempo) = (1_250_u32, 250.0);
    let script = Script { deltas: vec!["palabra ".to_owned(); deltas as usize], tempo, ..Script::default() };
    let bytes = script.text().len();
    let (harness, _playback) = Harness::playing(script, &[]).await;
    let id = harness.start_generation(json!({})).await;
    assert_eq!(harness.ended(&id).await["status"], "completed");
    let units = harness.stack.write_units();
    let workload = workload(deltas as usize, bytes, Duration::from_secs_f64(f64::from(deltas) / tempo));
    let estimate = estimate(&workload, &Pace::default()).unwrap();
    assert_near(&estimate, units);
    assert_reads_near(&estimate, &harness);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_estimate_of_a_watched_generation_is_what_is_counted() {
    let (deltas, tempo) = (40_u32, 8.0);
    let script = Script { deltas: vec!["palabra ".to_owned(); deltas as usize], tempo, ..Script::default() };
    let bytes = script.text().len();
    let (harness, _playback) = Harness::playing(script, &[("LONGHAND_WATCHED_WINDOW_MS", "20")]).await;
    let id = harness.start_generation(json!({})).await;
    let (events, has_ended) = sse::read(&harness.http, &harness.events_url(&id), None, |_| false).await;
    assert!(has_ended && events.len() > 30, "{} events", events.len());
    assert_eq!(harness.ended(&id).await["status"], "completed");
    let units = harness.stack.write_units();
    let stream = Duration::from_secs_f64(f64::from(deltas) / tempo);
    let workload = Workload { watched: stream, readers: 1, ..workload(deltas as usize, bytes, stream) };
    let windows = Windows { watched: Duration::from_millis(20), ..Windows::default() };
    let estimate = estimate(&workload, &Pace { windows, ..Pace::default() }).unwrap();
    assert_near(&estimate, units);
    assert_reads_near(&estimate, &harness);
    harness.finish().await;
}

/// A generation of so much text that nobody watches.
fn workload(deltas: usize, bytes: usize, stream: Duration) -> Workload {
    Workload {
        output_bytes: bytes as u64,
        deltas: deltas as u64,
        silence: Duration::ZERO,
        stream,
        watched: Duration::ZERO,
        readers: 0,
        request_bytes: 60,
        response_bytes: 0,
    }
}

fn assert_near(estimate: &Estimate, counted: u64) {
    let estimated = estimate.writes.total();
    eprintln!("{estimated} write units estimated, {counted} counted: {:?}", estimate.writes);
    assert!(estimated.abs_diff(counted) * 100 <= counted * TOLERANCE_PERCENT, "{estimate:?}, {counted} counted");
}

/// What writer and compaction read. A reader's polls are hints here, and `start` has its organization's quota to read first.
fn assert_reads_near(estimate: &Estimate, harness: &Harness) {
    for (handler, estimated) in [("stream", estimate.reads.stream), ("compact", estimate.reads.compact)] {
        let counted = harness.stack.read_units(handler);
        eprintln!("{handler}: {estimated} read units estimated, {counted} counted");
        assert!((estimated - counted).abs() <= (counted * 0.2).max(2.0), "{handler}: {estimated} estimated, {counted} counted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_provider_costs_at_most_one_write_in_ten_seconds() {
    const SILENCE: Duration = Duration::from_secs(9);
    let playback = play(Script { first_byte_delay: SILENCE, ..Script::new(["uno"]) }).unwrap();
    let faults = Faults::deciding(|_, _, _| None);
    let env = environment(playback.base_url(), &[("LONGHAND_LEASE_SECONDS", "600")]);
    let began = Instant::now();
    let harness = Harness::with(Options { env, parts: faults.parts(), ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    assert_eq!(harness.ended(&id).await["status"], "completed");
    let made = faults.made();
    let looks = made.iter().filter(|made| made.function == "stream" && made.call.operation == "GetItem").count();
    let updates = made.iter().filter(|made| made.function == "stream" && made.call.operation == "UpdateItem").count();
    assert!(looks > 4, "the lease was kept: {looks} looks at meta");
    // One is the claim.
    assert!(updates as u64 <= 1 + began.elapsed().as_secs() / 10, "{updates} writes on meta");
    harness.finish().await;
}
