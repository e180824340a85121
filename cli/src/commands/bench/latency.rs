//! The time from the provider's byte to the reader's.

use anyhow::Context as _;
use futures::future::try_join_all;
use longhand_local::{Counts, Playback, Script};

use super::Bench;
use super::reader::{self, Seen};

const GENERATIONS: usize = 10;
const TEMPO: u32 = 50;

/// Latencies in microseconds, over all deltas of a run.
pub struct Latency {
    median: u64,
    p99: u64,
    max: u64,
    deltas: usize,
}

/// What the readers of logs measured, and what the tables did meanwhile.
pub struct Followed {
    /// The latencies.
    pub latency: Latency,
    counts: Counts,
}

/// The provider, read directly.
pub async fn direct(seconds: u32) -> anyhow::Result<Latency> {
    let playback = Playback::start(script(seconds))?;
    let reads = (0..GENERATIONS).map(|_| reader::read_directly(playback.base_url()));
    Ok(Latency::of(&try_join_all(reads).await?))
}

/// Generations that are started, each with one reader of its log.
pub async fn followed(watched_window_ms: Option<&str>, seconds: u32) -> anyhow::Result<Followed> {
    let bench = Bench::start(script(seconds), watched_window_ms).await?;
    let reads = (0..GENERATIONS).map(|_| async {
        let id = bench.start_generation().await?;
        reader::read_events(bench.client.open_events(&id, None).await?.context("the log has ended already")?).await
    });
    let before = bench.stack.table_counts();
    let seen = try_join_all(reads).await?;
    let after = bench.stack.table_counts();
    bench.finish().await;
    let counts = Counts {
        requests: after.requests - before.requests,
        writes: after.writes - before.writes,
        joined: after.joined - before.joined,
    };
    Ok(Followed { latency: Latency::of(&seen), counts })
}

/// Generations started with `stream: true`, whose response is the log: all deltas, and the first ones alone.
pub async fn attached(seconds: u32) -> anyhow::Result<[Latency; 2]> {
    let bench = Bench::start(script(seconds), None).await?;
    let mut request = Bench::request();
    request["stream"] = true.into();
    let reads = (0..GENERATIONS).map(|_| async { reader::read_events(bench.client.start_attached(&request).await?).await });
    let seen = try_join_all(reads).await?;
    bench.finish().await;
    let first = seen.iter().map(|seen| Seen { latencies: seen.latencies.iter().take(1).copied().collect(), ..Seen::default() });
    Ok([Latency::of(&seen), Latency::of(&first.collect::<Vec<_>>())])
}

fn script(seconds: u32) -> Script {
    let deltas = vec![String::new(); (seconds * TEMPO) as usize];
    Script { deltas, stamped: true, tempo: f64::from(TEMPO), ..Script::default() }
}

impl Followed {
    /// The requests to the tables, as shares of the deltas.
    pub fn describe_requests(&self) -> String {
        let Counts { requests, writes, joined } = self.counts;
        let per_delta = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(self.latency.deltas());
        let (requests, transactions, writes) = (per_delta(requests), per_delta(writes.saturating_sub(joined)), per_delta(writes));
        format!("{requests:.2} requests to the tables per delta, {writes:.2} of them writes, in {transactions:.2} transactions")
    }
}

impl Latency {
    fn of(seen: &[Seen]) -> Self {
        let mut all: Vec<u64> = seen.iter().flat_map(|seen| seen.latencies.iter().copied()).collect();
        all.sort_unstable();
        let at = |percent: usize| all.get((all.len() * percent / 100).min(all.len().saturating_sub(1))).copied().unwrap_or(0);
        Self { median: at(50), p99: at(99), max: at(100), deltas: all.len() }
    }

    /// How many deltas were measured.
    pub fn deltas(&self) -> u32 {
        u32::try_from(self.deltas).unwrap_or(u32::MAX)
    }

    /// One line; with `direct`, the latencies are also given as multiples of it.
    pub fn describe(&self, name: &str, direct: Option<&Self>) -> String {
        let ms = |micros: u64| format!("{}.{:02}", micros / 1_000, micros % 1_000 / 10);
        let (median, p99, max) = (ms(self.median), ms(self.p99), ms(self.max));
        let line = format!("  {name:<28} median {median:>8}   p99 {p99:>8}   max {max:>8}   ({} deltas)", self.deltas);
        let Some(direct) = direct else { return line };
        #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^52 µs")]
        let times = |latency: u64, of: u64| latency as f64 / of.max(1) as f64;
        let (median, p99) = (times(self.median, direct.median), times(self.p99, direct.p99));
        format!("{line}   x{median:.2} median, x{p99:.2} p99 of direct")
    }
}
