//! `longhand bench`: how soon a reader sees what the provider sends, how much goes through, and how fast a replay is.
//!
//! Provider, stack and readers share this machine and this process. Beside each latency stands the provider read directly, in
//! the same run: the rest is the product's.

mod latency;
mod reader;
mod replay;
mod throughput;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use longhand_local::{Data, Options, Playback, Script, Stack};
use serde_json::{Value, json};

use crate::api::Api;
use crate::terminal::output::line;

/// Measure latency, throughput and replay on an embedded stack of its own
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Seconds that each latency is measured for
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Deltas of each throughput run
    #[arg(long, default_value_t = 1_000_000)]
    deltas: usize,
}

pub async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    line("latency, 10 generations at 50 deltas/s, from the provider's byte to the reader's (ms)")?;
    line(latency::direct(args.seconds).await?)?;
    line(latency::tailed("tail, laptop windows", "0", args.seconds).await?)?;
    line(latency::tailed("tail, AWS windows", "50", args.seconds).await?)?;
    line(latency::attached(args.seconds).await?)?;
    line("\nthroughput, the throttle open (from the first byte asked for to the last read by a reader)")?;
    line(throughput::measure(1, args.deltas).await?)?;
    line(throughput::measure(10, args.deltas / 10).await?)?;
    line("\nreplay of a finished generation")?;
    line(replay::measure().await?)?;
    Ok(ExitCode::SUCCESS)
}

/// A stack whose provider `bench` plays `script`.
struct Bench {
    stack: Stack,
    api: Api,
    playback: Playback,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(script: Script, watched_window_ms: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("longhand-bench-").tempdir()?;
        let playback = Playback::start(script)?;
        let providers = json!({ "bench": { "base_url": playback.base_url() } }).to_string();
        let env: BTreeMap<String, String> = [
            ("LONGHAND_PROVIDERS", providers.as_str()),
            ("LONGHAND_WATCHED_WINDOW_MS", watched_window_ms),
            ("LONGHAND_MAX_OUTPUT_BYTES", "1073741824"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let options = Options { data: Data::Folder(folder.path().to_owned()), env, ..Options::default() };
        let stack = Stack::start(options).await?;
        let api = Api::new(stack.url())?;
        Ok(Self { stack, api, playback, _folder: folder })
    }

    fn request() -> Value {
        json!({ "provider": "bench", "model": "m", "prompt": "p" })
    }

    async fn start_generation(&self) -> anyhow::Result<String> {
        let started = self.api.start(&Self::request(), None).await?;
        Ok(started.value["id"].as_str().unwrap_or_default().to_owned())
    }

    async fn finish(self) {
        drop(self.playback);
        self.stack.shutdown().await;
    }
}

/// CPU seconds that this process has used, by the kernel's account (Linux: fields 14 and 15 of `/proc/self/stat`, in ticks of
/// 10 ms).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u32 = behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    f64::from(ticks) / 100.0
}
