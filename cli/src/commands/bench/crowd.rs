//! Many at once: starts, and readers who wait, and leave.

use std::fs;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream;
use longhand_client::{Client, Response};
use longhand_local::Script;
use longhand_local::playback::Ending;
use tokio::time::sleep;

use super::peers::Provider;
use super::process::Process;
use super::{Bench, STARTS_AT_ONCE, start};

const STARTS: usize = 1_000;
const IDLE_READERS: usize = 2_000;
const LEAVING_READERS: usize = 500;
/// How long descriptors may take to come back: longer than a heartbeat, which finds that a reader has gone.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_secs(10);

/// Starts many generations at once.
pub async fn starts() -> anyhow::Result<String> {
    let bench = Bench::start(Provider::playing(Script::new(["Hola"]))?, None).await?;
    let began = Instant::now();
    let answers: Vec<(Duration, bool)> = stream::iter(0..STARTS)
        .map(|_| async {
            let asked = Instant::now();
            let started = start(&bench.client).await;
            (asked.elapsed(), started.is_ok())
        })
        .buffer_unordered(STARTS_AT_ONCE)
        .collect()
        .await;
    let took = began.elapsed();
    let failed = answers.iter().filter(|(_, is_ok)| !is_ok).count();
    let slowest = answers.iter().map(|(took, _)| *took).max().unwrap_or_default();
    bench.finish().await;
    Ok(format!(
        "  {STARTS} starts, {STARTS_AT_ONCE} at once: {failed} refused, in {:.1} s, the slowest {} ms",
        took.as_secs_f64(),
        slowest.as_millis()
    ))
}

/// Readers of one generation that says nothing more; then some more who leave.
pub async fn readers() -> anyhow::Result<Vec<String>> {
    let bench = Bench::start(Provider::playing(Script { ending: Ending::Stall, ..Script::new(["Hola"]) })?, None).await?;
    let idle = idle_cpu().await;
    let id = start(&bench.client).await?;
    let alone = descriptors();
    let readers = open(&bench.client, &id, IDLE_READERS).await;
    let refused = readers.iter().filter(|reader| reader.is_none()).count();
    let reading = idle_cpu().await;
    let mut lines = vec![
        format!("  an idle stack uses {idle:.1} % of a core"),
        format!(
            "  {IDLE_READERS} idle readers: {refused} refused, {} MB resident, {reading:.1} % of a core",
            Process::own().resident_mb()
        ),
    ];
    drop(readers);
    let (left, took) = wait_for_descriptors(alone).await;
    lines.push(format!("  descriptors after they have left: {left} (before: {alone}), after {:.1} s", took.as_secs_f64()));
    let leaving = open(&bench.client, &id, LEAVING_READERS).await;
    drop(leaving);
    let (left, took) = wait_for_descriptors(alone).await;
    lines.push(format!("  {LEAVING_READERS} readers who left at once: {left} descriptors after {:.1} s", took.as_secs_f64()));
    bench.finish().await;
    Ok(lines)
}

async fn open(client: &Client, id: &str, count: usize) -> Vec<Option<Response>> {
    let opened = stream::iter(0..count).map(|_| async { client.open_events(id, None).await.ok().flatten() });
    opened.buffer_unordered(STARTS_AT_ONCE).collect().await
}

/// Waits until about as many descriptors are open as `before`; how many are, and after how long.
async fn wait_for_descriptors(before: usize) -> (usize, Duration) {
    let began = Instant::now();
    loop {
        let open = descriptors();
        // The client's pool keeps some connections.
        if open <= before + STARTS_AT_ONCE || began.elapsed() > LEAVE_TIMEOUT {
            return (open, began.elapsed());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The share of a core, in percent, that this process uses for a while.
async fn idle_cpu() -> f64 {
    let before = Process::own().cpu_seconds();
    sleep(IDLE).await;
    (Process::own().cpu_seconds() - before) * 100.0 / IDLE.as_secs_f64()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
