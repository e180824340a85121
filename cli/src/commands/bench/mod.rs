//! `longhand bench`: measures latency, throughput and replay.
//!
//! Provider, stack and readers share this machine, and this process unless `--separate` is given, so the figures depend on the machine and its
//! load. Each run therefore measures the provider read directly too, and prints every other figure as a multiple of it (`x1.50 … of
//! direct`): compare these multiples between runs.

mod crowd;
mod latency;
mod peers;
mod process;
mod reader;
mod redis;
mod replay;
mod soak;
mod throughput;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use longhand_client::Client;
use longhand_local::{Data, Options, Stack};
use serde_json::{Value, json};

use crate::terminal::output::line;
use peers::{Place, Provider};

/// Generations that are started, or readers that come, at a time.
const STARTS_AT_ONCE: usize = 50;
/// The name of the stack's provider.
const PROVIDER: &str = "bench";

/// Measure latency, throughput and replay on an embedded stack, each also as a multiple of the provider read directly
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Seconds that each latency is measured for
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Deltas of each throughput run
    #[arg(long, default_value_t = 1_000_000)]
    deltas: usize,
    /// The bytes of each delta, 4 to 4,096
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=4_096))]
    delta_bytes: u16,
    /// Run the provider and the readers in processes of their own, so that CPU time and memory are the stack's alone
    #[arg(long)]
    separate: bool,
    /// Measure this part alone
    #[arg(long)]
    only: Option<Part>,
    /// Be the provider or the readers of another process
    #[arg(long, hide = true)]
    peer: bool,
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
    /// Watched text and throughput over Redis Streams, by the `redis-server` of this machine. Measured only where it is named
    Redis,
    /// A thousand generations and five hundred readers for `--seconds`. Measured only where it is named
    Soak,
}

impl BenchArgs {
    const fn place(&self) -> Place {
        if self.separate { Place::Separate } else { Place::Here }
    }

    fn latency(&self) -> latency::Measurement {
        latency::Measurement { seconds: self.seconds, delta_bytes: self.delta_bytes.into(), place: self.place() }
    }

    /// The throughput of one generation, and of ten that have as many deltas together.
    fn throughputs(&self) -> [throughput::Measurement; 2] {
        [1, 10].map(|generations| throughput::Measurement {
            generations,
            deltas: self.deltas / generations,
            delta_bytes: self.delta_bytes.into(),
            place: self.place(),
        })
    }
}

pub async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    if args.peer {
        peers::work().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_asked = |part| args.only.is_none_or(|only| only == part);
    if is_asked(Part::Latency) {
        latencies(args.latency()).await?;
    } else if is_asked(Part::Watched) {
        watched(args.latency(), None).await?;
    }
    if is_asked(Part::Throughput) {
        throughputs(args.throughputs()).await?;
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
    if args.only == Some(Part::Redis) {
        redis::measure(&args).await?;
    }
    if args.only == Some(Part::Soak) {
        soak::measure(&args).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn latencies(measurement: latency::Measurement) -> anyhow::Result<()> {
    line("latency, 10 generations at 50 deltas/s, from the provider's byte to the reader's (ms)")?;
    let direct = measurement.direct().await?;
    line(direct.describe("the provider, read directly", None))?;
    watched(measurement, Some(&direct)).await?;
    line(measurement.followed(Some("50")).await?.latency.describe("tail, AWS windows", Some(&direct)))?;
    let [all, first] = measurement.attached().await?;
    line(all.describe("attached start", Some(&direct)))?;
    line(first.describe("attached start, first delta", Some(&direct)))?;
    Ok(())
}

/// Text that is read while it is written, and what it costs.
async fn watched(measurement: latency::Measurement, direct: Option<&latency::Latency>) -> anyhow::Result<()> {
    let followed = measurement.followed(None).await?;
    line(followed.latency.describe("tail, laptop windows", direct))?;
    line(format!("    {}", followed.describe_costs(measurement.place)))?;
    line(format!("    {}", followed.describe_requests()))?;
    Ok(())
}

async fn throughputs(measurements: [throughput::Measurement; 2]) -> anyhow::Result<()> {
    line("\nthroughput of a provider without a limit (from the request to the last byte that a reader reads)")?;
    for measurement in measurements {
        let direct = measurement.direct().await?;
        line(direct.describe("directly", None))?;
        line(measurement.through().await?.describe("at once", Some(&direct)))?;
    }
    Ok(())
}

/// A request for a generation.
fn request() -> Value {
    json!({ "provider": PROVIDER, "model": "m", "prompt": "p" })
}

/// Starts a generation, and returns its id.
async fn start(client: &Client) -> anyhow::Result<String> {
    Ok(client.start(&request(), None).await?.id.to_string())
}

/// A stack, and its provider, which plays a script.
struct Bench {
    stack: Stack,
    client: Client,
    provider: Provider,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(provider: Provider, watched_window_ms: Option<&str>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("longhand-bench-").tempdir()?;
        let providers = json!({ PROVIDER: { "base_url": provider.base_url() } }).to_string();
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
        Ok(Self { stack, client, provider, _folder: folder })
    }

    async fn finish(self) {
        drop(self.provider);
        self.stack.shutdown().await;
    }
}
