//! The time from the provider's byte to the reader's.

use longhand_local::Counts;

use super::Bench;
use super::peers::{Place, Plan, Provider, read};
use super::process::Process;
use super::reader::{Reading, Readings, Source};

const GENERATIONS: usize = 10;
const TEMPO: u32 = 50;

/// A latency measurement: ten generations at 50 deltas a second.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    pub seconds: u32,
    pub delta_bytes: usize,
    pub place: Place,
}

/// Latencies in microseconds, over all deltas of a run.
pub struct Latency {
    median: u64,
    p99: u64,
    max: u64,
    deltas: usize,
}

/// What the readers of logs measured, and what it took meanwhile.
pub struct Followed {
    pub latency: Latency,
    counts: Counts,
    /// CPU seconds of this process, for each million deltas.
    cpu: f64,
    /// The same of the provider and the readers, where they have processes of their own.
    peers_cpu: f64,
    peak_mb: u64,
}

impl Measurement {
    /// The provider, read directly.
    pub async fn direct(self) -> anyhow::Result<Latency> {
        let provider = Provider::start(self.plan(), self.place).await?;
        Ok(Latency::of(&read(self.reading(provider.base_url(), Source::Provider), self.place).await?))
    }

    /// Generations that are started, each with one reader of its log.
    pub async fn followed(self, watched_window_ms: Option<&str>) -> anyhow::Result<Followed> {
        let provider = Provider::start(self.plan(), self.place).await?;
        let bench = Bench::start(provider, watched_window_ms).await?;
        let (before, cpu, peers_cpu) = (bench.stack.table_counts(), Process::own().cpu_seconds(), bench.provider.cpu_seconds());
        let readings = read(self.reading(bench.stack.url(), Source::Events), self.place).await?;
        let cpu = Process::own().cpu_seconds() - cpu;
        let peers_cpu = bench.provider.cpu_seconds() - peers_cpu + readings.cpu_seconds;
        let after = bench.stack.table_counts();
        bench.finish().await;
        let counts = Counts {
            requests: after.requests - before.requests,
            writes: after.writes - before.writes,
            joined: after.joined - before.joined,
        };
        let latency = Latency::of(&readings);
        let per_million = 1e6 / f64::from(latency.deltas());
        let (cpu, peers_cpu) = (cpu * per_million, peers_cpu * per_million);
        Ok(Followed { latency, counts, cpu, peers_cpu, peak_mb: Process::own().peak_mb() })
    }

    /// Generations started with `stream: true`, whose response is the log: all deltas, and the first ones alone.
    pub async fn attached(self) -> anyhow::Result<[Latency; 2]> {
        let bench = Bench::start(Provider::start(self.plan(), self.place).await?, None).await?;
        let readings = read(self.reading(bench.stack.url(), Source::Start), self.place).await?;
        bench.finish().await;
        let first = readings.latencies.iter().map(|latencies| latencies.iter().take(1).copied().collect());
        Ok([Latency::of(&readings), Latency::of(&Readings { latencies: first.collect(), ..Readings::default() })])
    }

    pub(super) fn plan(self) -> Plan {
        Plan { deltas: self.deltas(), delta_bytes: self.delta_bytes, tempo: f64::from(TEMPO), is_stamped: true }
    }

    /// How `GENERATIONS` streams at this address are read.
    pub(super) fn reading(self, url: &str, source: Source) -> Reading {
        Reading { url: url.to_owned(), source, readers: GENERATIONS, deltas: self.deltas(), delta_bytes: self.delta_bytes }
    }

    const fn deltas(self) -> usize {
        (self.seconds * TEMPO) as usize
    }
}

impl Followed {
    /// The requests to the tables, as shares of the deltas.
    pub fn describe_requests(&self) -> String {
        let Counts { requests, writes, joined } = self.counts;
        let per_delta = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(self.latency.deltas());
        let (requests, transactions, writes) = (per_delta(requests), per_delta(writes.saturating_sub(joined)), per_delta(writes));
        format!("{requests:.2} requests to the tables per delta, {writes:.2} of them writes, in {transactions:.2} transactions")
    }

    /// The CPU time and the memory.
    pub fn describe_costs(&self, place: Place) -> String {
        let Self { cpu, peers_cpu, peak_mb, .. } = self;
        match place {
            Place::Here => {
                format!("CPU of the stack, its provider and its readers: {cpu:.0} s per million deltas; {peak_mb} MB at most")
            }
            Place::Separate => format!(
                "CPU of the stack: {cpu:.0} s per million deltas; {peak_mb} MB at most (provider and readers: {peers_cpu:.0} s)"
            ),
        }
    }
}

impl Latency {
    pub fn of(readings: &Readings) -> Self {
        let mut all: Vec<u64> = readings.latencies.iter().flatten().copied().collect();
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
        let line = format!("  {name:<28} median {median:>8}   p99 {p99:>8}   max {max:>8}   ({} measured)", self.deltas);
        let Some(direct) = direct else { return line };
        #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^52 µs")]
        let times = |latency: u64, of: u64| latency as f64 / of.max(1) as f64;
        let (median, p99) = (times(self.median, direct.median), times(self.p99, direct.p99));
        format!("{line}   x{median:.2} median, x{p99:.2} p99 of direct")
    }
}
