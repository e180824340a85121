//! Deltas per second from the provider through the log to a reader, with a provider that sends as fast as it can.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use longhand_local::{Playback, Script};

use super::reader::{read_directly, read_events};
use super::{Bench, cpu_seconds};

/// Four bytes, the usual length of a token.
const DELTA: &str = "abc ";

/// Deltas per second, from the request to the last byte that a reader reads, and the CPU time of the whole process.
pub struct Throughput {
    generations: usize,
    deltas_per_second: f64,
    cpu_seconds_per_million: f64,
}

/// `generations` at once, of `deltas` each.
pub async fn measure(generations: usize, deltas: usize) -> anyhow::Result<Throughput> {
    let bench = Bench::start(script(deltas), None).await?;
    let (began, cpu_before) = (Instant::now(), cpu_seconds());
    let reads = (0..generations).map(|_| async {
        let id = bench.start_generation().await?;
        let seen = read_events(bench.client.open_events(&id, None).await?.context("the log has ended already")?).await?;
        let record = crate::terminal::follow::to_the_end(&bench.client, &id, None).await?;
        ensure!(record.progress.received_chunks == deltas as u64, "deltas were lost: {}", record.text);
        seen.ended.context("the stream has no end")
    });
    let ended = try_join_all(reads).await?;
    let throughput = Throughput::new(generations, deltas, began, cpu_before, ended)?;
    bench.finish().await;
    Ok(throughput)
}

/// The same streams, read from the provider directly.
pub async fn direct(streams: usize, deltas: usize) -> anyhow::Result<Throughput> {
    let playback = Playback::start(script(deltas))?;
    let (began, cpu_before) = (Instant::now(), cpu_seconds());
    let reads = (0..streams).map(|_| async { read_directly(playback.base_url()).await?.ended.context("the stream has no end") });
    Throughput::new(streams, deltas, began, cpu_before, try_join_all(reads).await?)
}

fn script(deltas: usize) -> Script {
    Script { deltas: vec![DELTA.to_owned(); deltas], ..Script::default() }
}

impl Throughput {
    fn new(generations: usize, deltas: usize, began: Instant, cpu_before: f64, ended: Vec<Instant>) -> anyhow::Result<Self> {
        let took = ended.into_iter().max().context("no generation")?.duration_since(began).as_secs_f64();
        let total = f64::from(u32::try_from(generations * deltas)?);
        let cpu_seconds_per_million = (cpu_seconds() - cpu_before) / total * 1e6;
        Ok(Self { generations, deltas_per_second: total / took, cpu_seconds_per_million })
    }

    /// One line; with `direct`, the rate and the CPU time are also given as multiples of it.
    pub fn describe(&self, direct: Option<&Self>) -> String {
        let Self { generations, deltas_per_second, cpu_seconds_per_million } = self;
        let name = if direct.is_some() { "at once" } else { "directly" };
        let line = format!(
            "  {generations:>2} {name:<8}  {deltas_per_second:>9.0} deltas/s   {cpu_seconds_per_million:.2} CPU seconds per million, \
             provider and reader included"
        );
        let Some(direct) = direct else { return line };
        let rate = deltas_per_second / direct.deltas_per_second;
        // Below the kernel's tick of 10 ms nothing was measured.
        let cpu = cpu_seconds_per_million / direct.cpu_seconds_per_million;
        let cpu = if cpu.is_finite() { format!(", x{cpu:.2} CPU") } else { String::new() };
        format!("{line}   x{rate:.2} rate{cpu} of direct")
    }
}
