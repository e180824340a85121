//! `longhand bench`: measures latency, throughput and replay.
//!
//! Provider, stack and readers share this machine and this process, so the figures depend on the machine and its load. Each run
//! therefore measures the provider read directly too, and prints every other figure as a multiple of it (`x1.50 … of direct`):
//! compare these multiples between runs.

mod crowd;
mod latency;
mod reader;
mod replay;
mod throughput;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use longhand_client::Client;
use longhand_local::{Data, Options, Playback, Script, Stack};
use serde_json::{Value, json};

use crate::terminal::output::line;

/// Measure latency, throughput and replay on an embedded stack, each also as a multiple of the provider read directly
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Seconds that each latency is measured for
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Deltas of each throughput run
    #[arg(long, default_value_t = 1_000_000)]
    deltas: usize,
    /// Measure this part alone
    #[arg(long)]
    only: Option<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Latency,
    /// The second line of the latencies: text that is read while it is written
    Watched,
    Throughput,
    Replay,
    Crowd,
}

pub async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let is_asked = |part| args.only.is_none_or(|only| only == part);
    if is_asked(Part::Latency) {
        latencies(args.seconds).await?;
    } else if is_asked(Part::Watched) {
        watched(args.seconds, None).await?;
    }
    if is_asked(Part::Throughput) {
        throughputs(args.deltas).await?;
    }
    if is_asked(Part::Replay) {
        line("\nreplay of a finished generation")?;
        line(replay::measure().await?)?;
    }
    if is_asked(Part::Crowd) {
        line("\nmany at once (readers and stack share this process: two descriptors for each)")?;
        line(crowd::starts().await?)?;
        for text in crowd::readers().await? {
            line(text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn latencies(seconds: u32) -> anyhow::Result<()> {
    line("latency, 10 generations at 50 deltas/s, from the provider's byte to the reader's (ms)")?;
    let direct = latency::direct(seconds).await?;
    line(direct.describe("the provider, read directly", None))?;
    watched(seconds, Some(&direct)).await?;
    line(latency::followed(Some("50"), seconds).await?.latency.describe("tail, AWS windows", Some(&direct)))?;
    let [all, first] = latency::attached(seconds).await?;
    line(all.describe("attached start", Some(&direct)))?;
    line(first.describe("attached start, first delta", Some(&direct)))?;
    Ok(())
}

/// Text that is read while it is written, and what it costs.
async fn watched(seconds: u32, direct: Option<&latency::Latency>) -> anyhow::Result<()> {
    let before = cpu_seconds();
    let followed = latency::followed(None, seconds).await?;
    let deltas = f64::from(followed.latency.deltas());
    let cpu = (cpu_seconds() - before) * 1e6 / deltas;
    line(followed.latency.describe("tail, laptop windows", direct))?;
    line(format!("    CPU of the stack, its provider and its readers: {cpu:.0} s per million deltas"))?;
    line(format!("    {}, {} MB resident", followed.describe_requests(), crowd::resident_mb()))?;
    Ok(())
}

async fn throughputs(deltas: usize) -> anyhow::Result<()> {
    line("\nthroughput of a provider without a limit (from the request to the last byte that a reader reads)")?;
    for (generations, deltas) in [(1, deltas), (10, deltas / 10)] {
        let direct = throughput::direct(generations, deltas).await?;
        line(direct.describe(None))?;
        line(throughput::measure(generations, deltas).await?.describe(Some(&direct)))?;
    }
    Ok(())
}

/// A stack, and its provider `bench`, which plays a script.
struct Bench {
    stack: Stack,
    client: Client,
    playback: Playback,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(script: Script, watched_window_ms: Option<&str>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("longhand-bench-").tempdir()?;
        let playback = Playback::start(script)?;
        let providers = json!({ "bench": { "base_url": playback.base_url() } }).to_string();
        let settings = [
            ("LONGHAND_PROVIDERS", providers.as_str()),
            ("LONGHAND_MAX_OUTPUT_BYTES", "1073741824"),
            ("LONGHAND_MAX_RUNNING", "100000"),
        ];
        let window = watched_window_ms.map(|window| ("LONGHAND_WATCHED_WINDOW_MS", window));
        let settings = settings.into_iter().chain(window);
        let env: BTreeMap<String, String> = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let options = Options { data: Data::Folder(folder.path().to_owned()), env, ..Options::default() };
        let stack = Stack::start(options).await?;
        let client = Client::new(stack.url())?;
        Ok(Self { stack, client, playback, _folder: folder })
    }

    fn request() -> Value {
        json!({ "provider": "bench", "model": "m", "prompt": "p" })
    }

    async fn start_generation(&self) -> anyhow::Result<String> {
        Ok(self.client.start(&Self::request(), None).await?.id.to_string())
    }

    async fn finish(self) {
        drop(self.playback);
        self.stack.shutdown().await;
    }
}

/// CPU seconds that this process has used (Linux: fields 14 and 15 of `/proc/self/stat`, in ticks of
/// 10 ms).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u32 = behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    f64::from(ticks) / 100.0
}
