//! From the provider's byte to the reader's.

use anyhow::Context as _;
use futures::future::try_join_all;
use longhand_local::{Playback, Script};
use serde_json::json;

use super::Bench;
use super::reader::{Seen, read_events, read_provider};

const GENERATIONS: usize = 10;
const TEMPO: u32 = 50;

fn script(seconds: u32) -> Script {
    let deltas = vec![String::new(); (seconds * TEMPO) as usize];
    Script { deltas, stamped: true, tempo: f64::from(TEMPO), ..Script::default() }
}

/// The provider, read without anything in between.
pub async fn direct(seconds: u32) -> anyhow::Result<String> {
    let playback = Playback::start(script(seconds))?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let body = json!({ "model": "m", "stream": true, "messages": [] });
    let reads = (0..GENERATIONS).map(|_| async {
        let post = http.post(format!("{}/chat/completions", playback.base_url())).json(&body);
        read_provider(post.send().await?).await
    });
    Ok(told("the provider, read directly", &try_join_all(reads).await?))
}

/// Started, and tailed by one reader each.
pub async fn tailed(name: &str, watched_window_ms: &str, seconds: u32) -> anyhow::Result<String> {
    let bench = Bench::start(script(seconds), watched_window_ms).await?;
    let reads = (0..GENERATIONS).map(|_| async {
        let id = bench.start_generation().await?;
        read_events(bench.api.open_events(&id, None).await?.context("a log that has not ended")?).await
    });
    let seen = try_join_all(reads).await?;
    bench.finish().await;
    Ok(told(name, &seen))
}

/// Started with `stream: true`: the answer is the stream.
pub async fn attached(seconds: u32) -> anyhow::Result<String> {
    let bench = Bench::start(script(seconds), "0").await?;
    let mut request = Bench::request();
    request["stream"] = true.into();
    let reads = (0..GENERATIONS).map(|_| async { read_events(bench.api.start_attached(&request).await?).await });
    let seen = try_join_all(reads).await?;
    bench.finish().await;
    let first: Vec<Seen> =
        seen.iter().map(|seen| Seen { under_way: seen.under_way.iter().take(1).copied().collect(), ..Seen::default() }).collect();
    Ok(format!("{}\n{}", told("attached start", &seen), told("attached start, first delta", &first)))
}

fn told(name: &str, seen: &[Seen]) -> String {
    let mut all: Vec<u64> = seen.iter().flat_map(|seen| seen.under_way.iter().copied()).collect();
    all.sort_unstable();
    let at = |share: usize| all.get((all.len() * share / 100).min(all.len().saturating_sub(1))).copied().unwrap_or(0);
    let ms = |micros: u64| format!("{}.{:02}", micros / 1_000, micros % 1_000 / 10);
    format!("  {name:<28} median {:>8}   p99 {:>8}   max {:>8}   ({} deltas)", ms(at(50)), ms(at(99)), ms(at(100)), all.len())
}
