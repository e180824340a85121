//! A soak: many generations at once, half of them with a reader, while others ask for their records.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use longhand_client::Client;
use tokio::time::sleep;

use super::latency::Latency;
use super::peers::{Place, Plan, Provider, read};
use super::process::Process;
use super::reader::{Reading, Readings, Source};
use super::{Bench, BenchArgs, STARTS_AT_ONCE, start};
use crate::terminal::follow;
use crate::terminal::output::line;

/// Generations, all at once.
const GENERATIONS: usize = 1_000;
/// Those of them with a reader.
const READERS: usize = 500;
/// Deltas of each generation in a second.
const TEMPO: u32 = 2;
/// From one request for a record to the next.
const PROBE_PAUSE: Duration = Duration::from_millis(50);
/// When memory is measured first: by then every generation runs.
const SETTLED: Duration = Duration::from_secs(30);

/// What the requests for records came to.
#[derive(Default)]
struct Probes {
    micros: Vec<u64>,
    failed: Vec<String>,
}

/// Runs for `--seconds`. Each text must arrive whole.
///
/// # Errors
/// A generation did not complete, or has lost a delta.
pub async fn measure(args: &BenchArgs) -> anyhow::Result<()> {
    let deltas = (args.seconds * TEMPO) as usize;
    let delta_bytes = args.delta_bytes.into();
    let plan = Plan { deltas, delta_bytes, tempo: f64::from(TEMPO), is_stamped: true };
    let bench = Bench::start(Provider::start(plan, Place::Separate).await?, None).await?;
    line(format!("soak: {GENERATIONS} generations at {TEMPO} deltas/s for {} s, {READERS} readers", args.seconds))?;
    let reading = Reading { url: bench.stack.url().to_owned(), source: Source::Follow, readers: READERS, deltas, delta_bytes };
    let cpu = Process::own().cpu_seconds();
    let (readings, ids, resident) = tokio::join!(read(reading, Place::Separate), unwatched(&bench.client), async {
        sleep(SETTLED).await;
        Process::own().resident_mb()
    });
    let (readings, (ids, probes)) = (readings?, ids?);
    for id in &ids {
        let record = follow::to_the_end(&bench.client, id, None).await?;
        anyhow::ensure!(record.progress.received_chunks == deltas as u64, "deltas were lost: {}", record.text);
    }
    let cpu = Process::own().cpu_seconds() - cpu;
    line(Latency::of(&readings).describe("from provider to reader", None))?;
    line(format!("  responses to readers that broke off or were errors: {}", readings.failures))?;
    let Probes { micros, failed } = probes;
    let answers = Latency::of(&Readings { latencies: vec![micros], ..Readings::default() });
    line(answers.describe("answers to starts and reads", None))?;
    line(format!(
        "  of these, errors: {}{}",
        failed.len(),
        failed.first().map(|first| format!(" ({first})")).unwrap_or_default()
    ))?;
    let (end, peak) = (Process::own().resident_mb(), Process::own().peak_mb());
    line(format!("  {resident} MB resident at the start, {end} at the end, {peak} at most; {cpu:.0} CPU seconds of the stack"))?;
    bench.finish().await;
    Ok(())
}

/// Starts the generations without a reader, and asks for their records until all have ended. Returns their ids.
async fn unwatched(client: &Client) -> anyhow::Result<(Vec<String>, Probes)> {
    let mut probes = Probes::default();
    let starts = stream::iter(READERS..GENERATIONS).map(async |_| {
        let asked = Instant::now();
        let id = start(client).await?;
        anyhow::Ok((id, asked.elapsed()))
    });
    let started: Vec<(String, Duration)> = starts.buffer_unordered(STARTS_AT_ONCE).try_collect().await?;
    probes.micros.extend(started.iter().map(|(_, took)| micros(*took)));
    let ids: Vec<String> = started.into_iter().map(|(id, _)| id).collect();
    let last = ids.last().map(String::as_str).unwrap_or_default();
    tokio::select! {
        ended = follow::to_the_end(client, last, None) => drop(ended?),
        () = probe(client, &ids, &mut probes) => {}
    }
    Ok((ids, probes))
}

/// Asks for one record after the other, without an end.
async fn probe(client: &Client, ids: &[String], probes: &mut Probes) {
    for id in ids.iter().cycle() {
        let asked = Instant::now();
        match client.generation(id).await {
            Ok(_) => {}
            Err(error) => probes.failed.push(error.to_string()),
        }
        probes.micros.push(micros(asked.elapsed()));
        sleep(PROBE_PAUSE).await;
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
