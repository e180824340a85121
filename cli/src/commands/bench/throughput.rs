//! Deltas per second from the provider through the log to a reader, with a provider that sends as fast as it can.

use super::Bench;
use super::peers::{Place, Plan, Provider, read};
use super::process::Process;
use super::reader::{Reading, Source};

/// A throughput measurement.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// At once.
    pub generations: usize,
    /// Of each generation.
    pub deltas: usize,
    pub delta_bytes: usize,
    pub place: Place,
}

/// Deltas per second, from the request to the last byte that a reader reads, and the CPU time.
pub struct Throughput {
    of: Measurement,
    deltas_per_second: f64,
    /// Of this process, which may have the provider and the readers, and nothing else.
    cpu_seconds_per_million: f64,
}

impl Measurement {
    /// The streams, read from the provider directly.
    pub async fn direct(self) -> anyhow::Result<Throughput> {
        let provider = Provider::start(self.plan(), self.place).await?;
        self.read(provider.base_url(), Source::Provider).await
    }

    /// The logs of generations, which are started for it.
    pub async fn through(self) -> anyhow::Result<Throughput> {
        let bench = Bench::start(Provider::start(self.plan(), self.place).await?, None).await?;
        let throughput = self.read(bench.stack.url(), Source::Events).await?;
        bench.finish().await;
        Ok(throughput)
    }

    pub(super) fn plan(self) -> Plan {
        Plan { deltas: self.deltas, delta_bytes: self.delta_bytes, tempo: 0.0, is_stamped: false }
    }

    pub(super) async fn read(self, url: &str, source: Source) -> anyhow::Result<Throughput> {
        let Self { generations, deltas, delta_bytes, place } = self;
        let cpu = Process::own().cpu_seconds();
        let reading = Reading { url: url.to_owned(), source, readers: generations, deltas, delta_bytes };
        let readings = read(reading, place).await?;
        let cpu = Process::own().cpu_seconds() - cpu;
        let total = f64::from(u32::try_from(generations * deltas)?);
        let seconds = f64::from(u32::try_from(readings.micros)?) / 1e6;
        Ok(Throughput { of: self, deltas_per_second: total / seconds, cpu_seconds_per_million: cpu / total * 1e6 })
    }
}

impl Throughput {
    /// One line; with `direct`, the rate is also given as a multiple of it.
    pub fn describe(&self, name: &str, direct: Option<&Self>) -> String {
        let Self { of: Measurement { generations, place, .. }, deltas_per_second, cpu_seconds_per_million } = self;
        let rate = direct.map(|direct| format!("   x{:.2} of direct", deltas_per_second / direct.deltas_per_second));
        let of_whom = match (place, direct) {
            (Place::Here, _) => ", provider and readers included",
            (Place::Separate, Some(_)) => " of the stack alone",
            (Place::Separate, None) => return format!("  {generations:>2} {name:<12} {deltas_per_second:>9.0} deltas/s"),
        };
        format!(
            "  {generations:>2} {name:<12} {deltas_per_second:>9.0} deltas/s{}   {cpu_seconds_per_million:.2} CPU seconds per million{of_whom}",
            rate.unwrap_or_default()
        )
    }
}
