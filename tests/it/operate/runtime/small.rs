//! `stream`, `tail`, `compact` and `sweep` with the memory that the template gives them, and the share of a processor that comes with it:
//! 128 MB and 0.07, 256 MB and 0.14, 512 MB and 0.29.
//!
//! A control group gives the function that share of every 20 ms, as Lambda does. It needs root and version 1 of the kernel's
//! control groups; without them the function runs unbounded, and only its memory and its CPU time say something. What is asserted is
//! memory and the text; times are printed.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use longhand::aws::{Buffer, Meta, Meter};
use longhand::generation::request::Request;
use longhand::limits::JSON_BYTES_MAX;
use longhand::log::event::Event;
use longhand::{Clock, GenerationKey};
use longhand_local::playback::{STAMP_BYTES, times};
use longhand_local::{Script, TEMPLATE, Template};
use longhand_tests::serial::turn;
use longhand_tests::{assert_whole, sampling};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::emulator::Emulator;
use super::live::Live;
use super::rie::{Bench, ORGANIZATION, sample_for};
use super::tools::skip;

/// The most that a generation's output may have by default.
const OUTPUT_BYTES: usize = 32 * 1024 * 1024;
const TIMEOUT_SECONDS: u32 = 600;

/// The template's windows, in place of the laptop's.
const WINDOWS: [(&str, &str); 2] = [("LONGHAND_WATCHED_WINDOW_MS", "150"), ("LONGHAND_UNWATCHED_WINDOW_MS", "4000")];

/// The share of a processor that comes with a function's memory (AWS: one at 1,769 MB).
struct Share(PathBuf);

impl Share {
    const PERIOD_US: u32 = 20_000;

    /// Puts a process into a control group of its own. `None`: this machine cannot.
    fn of(process: u32, memory_mb: u32) -> Option<Self> {
        let share = Self(format!("/sys/fs/cgroup/cpu/longhand-{process}").into());
        let set = |name: &str, value: u32| fs::write(share.0.join(name), value.to_string());
        let made = fs::create_dir(&share.0)
            .and_then(|()| set("cpu.cfs_period_us", Self::PERIOD_US))
            .and_then(|()| set("cpu.cfs_quota_us", Self::PERIOD_US * memory_mb / 1_769))
            .and_then(|()| set("cgroup.procs", process));
        let why = |error| format!("a share of a processor: {}: {error}; it needs root and control groups 1", share.0.display());
        match made {
            Ok(()) => Some(share),
            Err(error) => skip(&why(error)),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Fails while the process is in it, which its emulator ends before.
        let _ = fs::remove_dir(&self.0);
    }
}

/// A function in its share of a processor.
struct Small {
    emulator: Emulator,
    share: Option<Share>,
    memory_mb: u32,
}

impl Small {
    /// The function, initialized: Lambda gives whole processors until then.
    async fn start(bench: &Bench, function: &str) -> Self {
        let mut emulator = bench.host(function, TIMEOUT_SECONDS);
        let answer = emulator.invoke(&json!({ "Records": 1 })).await;
        // `sweep` reads no payload, and nothing is open yet.
        assert!(answer["errorMessage"].is_string() || answer["open"] == 0, "{answer}");
        let memory_mb = memory_mb(function);
        Self { share: Share::of(emulator.function_id(), memory_mb), emulator, memory_mb }
    }

    fn name(&self) -> String {
        format!("{} MB, {}", self.memory_mb, if self.share.is_some() { "its share of a processor" } else { "whole processors" })
    }

    /// The most memory that the function's process has had, which must leave room for Lambda's own.
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn peak(&self) -> f64 {
        let (peak, most) = (self.emulator.peak_bytes(), u64::from(self.memory_mb) * 1_000_000 * 3 / 4);
        assert!(peak <= most, "{}: {peak} bytes, more than {most}", self.name());
        peak as f64 / 1e6
    }
}

/// The memory that the template gives a function.
fn memory_mb(function: &str) -> u32 {
    let functions = Template::read(TEMPLATE).unwrap().functions;
    functions.iter().find(|hosted| hosted.handler == function).and_then(|hosted| hosted.memory_mb).unwrap()
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// 50 deltas a second, watched and not.
#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "the figures of docs/cost.md")]
#[tokio::test(flavor = "multi_thread")]
async fn small_functions_keep_up() {
    let _turn = turn().await;
    let deltas = if sampling::is_full() { 2_500 } else { 500 };
    for is_watched in [false, true] {
        let script = Script { stamped: true, tempo: 50.0, ..Script::new(vec!["time"; deltas]) };
        let Some(bench) = Bench::start(script, &WINDOWS).await else { return };
        let id = bench.start_sample().await;
        let mut stream = Small::start(&bench, "stream").await;
        let (job, before) = (sample_for("stream", &id), stream.emulator.cpu());
        let answer = if is_watched {
            // From the beginning: a writer that is at work notices a reader within a second and a half.
            let stream = async {
                while bench.buffer().await.meta(&key(&id)).await.unwrap().is_none() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                stream.emulator.invoke(&job).await
            };
            tokio::join!(stream, bench.watch(&id, deltas)).0
        } else {
            stream.emulator.invoke(&job).await
        };
        assert_eq!(answer["outcome"]["ended"], "completed", "{answer}");
        let events = bench.harness.events(&id).await;
        assert_whole(&events);
        let text: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
        assert_eq!(format!("{:x}", Sha256::digest(&text)), bench.playback.stats().sent_sha256);
        let (cpu, late) = (stream.emulator.cpu() - before, bench.late(&id, is_watched).await);
        println!(
            "stream, {}, {}: {:.2} ms of CPU per delta, peak {:.1} MB, {} flushes, 99 % of them at most {} ms late",
            stream.name(),
            if is_watched { "watched" } else { "unwatched" },
            cpu * 1e3 / deltas as f64,
            stream.peak(),
            late.len(),
            percentile(&late, 99),
        );
        drop(stream);
        bench.harness.finish().await;
    }
}

/// Eight generations in one invocation, 50 deltas a second each, watched by nobody; then eight that flood their logs.
#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "the figures of docs/cost.md")]
#[tokio::test(flavor = "multi_thread")]
async fn small_stream_takes_eight_riders() {
    let _turn = turn().await;
    let deltas = if sampling::is_full() { 2_500 } else { 500 };
    let line = "All generations of this deployment end with their whole text. ".repeat(64);
    for (what, script, deltas) in [
        ("50 deltas a second each", Script { stamped: true, tempo: 50.0, ..Script::new(vec!["time"; deltas]) }, deltas),
        ("4 MiB each, as fast as the provider", Script::new(vec![line.clone(); 4 * 1024 * 1024 / line.len()]), 1_057),
    ] {
        let Some(bench) = Bench::start(script, &WINDOWS).await else { return };
        let mut ids = Vec::new();
        for number in 0..8 {
            ids.push(bench.start_sample_with(&json!({}), &format!("rider-{number}")).await);
        }
        let mut stream = Small::start(&bench, "stream").await;
        let (began, before) = (Instant::now(), stream.emulator.cpu());
        let answer = stream.emulator.invoke(&json!({ "organization": ORGANIZATION, "generations": ids })).await;
        let (taken, cpu) = (began.elapsed().as_secs_f64(), stream.emulator.cpu() - before);
        let outcomes = answer["generations"].as_array().unwrap_or_else(|| panic!("{answer}"));
        assert!(outcomes.len() == 8 && outcomes.iter().all(|one| one["outcome"]["ended"] == "completed"), "{answer}");
        let mut late = Vec::new();
        for id in &ids {
            late.extend(bench.late(id, false).await);
        }
        late.sort_unstable();
        println!(
            "stream, {}, eight riders, {what}: {taken:.1} s, {:.2} ms of CPU per delta, peak {:.1} MB, 99 % of the flushes at most {} ms late",
            stream.name(),
            cpu * 1e3 / (8 * deltas) as f64,
            stream.peak(),
            if late.is_empty() { 0 } else { percentile(&late, 99) },
        );
        drop(stream);
        bench.harness.finish().await;
    }
}

/// The largest output, as fast as the provider gives it; and the largest that is parsed, of as many values as it can have.
#[expect(clippy::print_stdout, reason = "the figures of docs/cost.md")]
#[tokio::test(flavor = "multi_thread")]
async fn small_functions_hold_the_largest_outputs() {
    let _turn = turn().await;
    let line = "All generations of this deployment end with their whole text. ".repeat(64);
    let lines = (OUTPUT_BYTES - 1024) / line.len();
    let zeros = "0,".repeat(2_048);
    let pieces = JSON_BYTES_MAX / zeros.len() - 1;
    let numbers = std::iter::once("[".to_owned()).chain(vec![zeros; pieces]).chain(["0]".to_owned()]);
    for (what, script) in [
        ("12 KB of JSON", Script::recorded().unwrap()),
        ("32 MiB of text", Script::new(vec![line; lines])),
        ("4 MiB of JSON", Script::new(numbers)),
    ] {
        let Some(bench) = Bench::start(script, &WINDOWS).await else { return };
        // Only what has a schema is parsed.
        let schema =
            json!({ "type": "json_schema", "json_schema": { "name": "numbers", "schema": { "items": { "type": "integer" } } } });
        let id = bench.start_sample_with(&json!({ "response_format": schema }), "sample-1").await;
        for (function, expected) in [
            ("stream", json!({ "generation": id, "outcome": { "ended": "completed" } })),
            ("compact", json!({ "batchItemFailures": [] })),
        ] {
            let mut small = Small::start(&bench, function).await;
            let (began, before) = (Instant::now(), small.emulator.cpu());
            let answer = small.emulator.invoke(&sample_for(function, &id)).await;
            let (taken, cpu) = (began.elapsed().as_secs_f64(), small.emulator.cpu() - before);
            println!("{what}: {function}, {}: {taken:.1} s, {cpu:.2} s of CPU, peak {:.1} MB", small.name(), small.peak());
            assert_eq!(answer, expected);
        }
        let record = bench.harness.ended(&id).await;
        assert_eq!(record["sha256"], bench.playback.stats().sent_sha256, "{record}");
        bench.harness.finish().await;
    }
}

/// A sweep of ten thousand open generations (a thousand in a sampled run): a quarter are younger than a minute, a quarter have no writer,
/// and the others are written.
#[expect(clippy::print_stdout, reason = "the figures of docs/runbook.md")]
#[tokio::test(flavor = "multi_thread")]
async fn small_sweep_has_its_minute() {
    let _turn = turn().await;
    let open: u64 = if sampling::is_full() { 10_000 } else { 1_000 };
    let Some(bench) = Bench::start(Script::default(), &[]).await else { return };
    let mut sweep = Small::start(&bench, "sweep").await;
    let now = Clock::system().now_ms();
    let config = bench.harness.config_of_lost_invokes();
    let old = bench.harness.app(config.clone(), Clock::manual_from(now - 10 * 60_000)).await;
    // Ahead of the clock, for the minute must not be over before the sweep.
    let young = bench.harness.app(config, Clock::manual_from(now + 10 * 60_000)).await;
    let body = json!({ "provider": "openai", "model": "m", "prompt": "p" }).to_string();
    let request = Request::parse(body.as_bytes(), &old.config().request_rules()).unwrap();
    let lease = json!({ "attempt": 1, "writer": "w", "lease_until": now + 3_600_000, "expires_at": now / 1_000 + 86_400 });
    let (held, buffer): (Meta, _) = (serde_json::from_value(lease).unwrap(), bench.buffer().await);
    let starts = (0..open).map(|number| {
        let (app, request, held, buffer) = (if number % 4 == 0 { &young } else { &old }, &request, &held, &buffer);
        // A start counts what its organization runs, up to the limit of a hundred.
        let organization = format!("organization-{}", number / 50).parse().unwrap();
        async move {
            let started = app.start(&organization, request, None).await.unwrap();
            if number % 4 > 1 {
                assert!(buffer.claim(&GenerationKey::new(organization, started.id), None, held).await.unwrap().is_some());
            }
        }
    });
    stream::iter(starts).buffer_unordered(8).for_each(|()| async {}).await;

    let (began, before) = (Instant::now(), sweep.emulator.cpu());
    let swept = sweep.emulator.invoke(&json!({})).await;
    println!(
        "sweep, {}: {open} open generations in {:.1} s, {:.2} s of CPU, peak {:.1} MB",
        sweep.name(),
        began.elapsed().as_secs_f64(),
        sweep.emulator.cpu() - before,
        sweep.peak(),
    );
    let counts = ["open", "looked_at", "streamed", "errors"].map(|name| swept[name].as_u64().unwrap());
    assert_eq!(counts, [open, open - open / 4, open / 4, 0], "{swept}");
    drop(sweep);
    bench.harness.finish().await;
}

fn key(id: &str) -> GenerationKey {
    GenerationKey::new(ORGANIZATION.parse().unwrap(), id.parse().unwrap())
}

impl Bench {
    async fn buffer(&self) -> Buffer {
        let (dynamodb, table) = (self.harness.clients().await.dynamodb, self.harness.config("stream").buffer_table);
        Buffer::new(dynamodb, table, Clock::system(), Meter::default())
    }

    /// Follows a generation by the function `tail`, from each delta's departure at the provider to its arrival.
    #[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "the figures of docs/cost.md")]
    async fn watch(&self, id: &str, deltas: usize) {
        let (environment, timeout) = (self.harness.stack.environment("tail"), Duration::from_secs(TIMEOUT_SECONDS.into()));
        let mut tail = Live::start(&self.bootstrap, "tail", &environment, timeout).await;
        let memory_mb = memory_mb("tail");
        let (share, before) = (Share::of(tail.id(), memory_mb), tail.cpu());
        let mut event = sample_for("tail", id);
        event["headers"]["Accept"] = json!("text/event-stream");
        event["multiValueHeaders"]["Accept"] = json!(["text/event-stream"]);
        event["queryStringParameters"] = json!(null);
        event["multiValueQueryStringParameters"] = json!(null);
        let mut latencies = Vec::new();
        for (at, line) in tail.lines(event).await {
            let event = line.strip_prefix("data: ").and_then(|data| serde_json::from_str::<Value>(data).ok());
            let Some(Value::String(text)) = event.map(|event| event["delta"].clone()) else { continue };
            latencies.extend(times(&text, STAMP_BYTES, at).map(|sent| at.saturating_sub(sent) / 1_000));
        }
        assert_eq!(latencies.len(), deltas, "every delta arrives once");
        latencies.sort_unstable();
        let peak = tail.peak_bytes();
        println!(
            "tail, {memory_mb} MB, {}: {:.2} ms of CPU per delta, peak {:.1} MB; from the provider to the reader: median {} ms, 99 % {} ms",
            if share.is_some() { "its share of a processor" } else { "whole processors" },
            (tail.cpu() - before) * 1e3 / deltas as f64,
            peak as f64 / 1e6,
            percentile(&latencies, 50),
            percentile(&latencies, 99),
        );
        assert!(peak <= u64::from(memory_mb) * 1_000_000 * 3 / 4, "{peak} bytes");
    }

    /// How late each flush left, in milliseconds: after its first delta's window, or the watched window behind the flush before.
    async fn late(&self, id: &str, is_watched: bool) -> Vec<u64> {
        let page = self.buffer().await.chunks(&key(id), 0).await.unwrap();
        assert_eq!(page.next_slot, None, "more than one page");
        let (window, mut before, mut late) = (if is_watched { 150 } else { 4_000 }, 0, Vec::new());
        for chunk in page.chunks {
            let text = chunk
                .events
                .iter()
                .filter_map(Event::stretch)
                .find_map(|(_, stretch)| times(&stretch.delta, STAMP_BYTES, u64::try_from(chunk.at_ms).ok()? * 1_000).next());
            let Some(first) = text.and_then(|micros| i64::try_from(micros / 1_000).ok()) else { continue };
            let due = if is_watched { first.max(before + window) } else { first + window };
            before = chunk.at_ms;
            late.push((chunk.at_ms - due).max(0).unsigned_abs());
        }
        late.sort_unstable();
        late
    }
}
