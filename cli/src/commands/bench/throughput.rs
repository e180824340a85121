//! How many deltas go from the provider through the log to a reader, with nothing to slow them.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use longhand_local::Script;

use super::reader::read_events;
use super::{Bench, cpu_seconds};

/// Four bytes, as a model's tokens have them.
const DELTA: &str = "abc ";

/// `generations` at once, of `deltas` each.
pub async fn measure(generations: usize, deltas: usize) -> anyhow::Result<String> {
    let bench = Bench::start(Script { deltas: vec![DELTA.to_owned(); deltas], ..Script::default() }, "0").await?;
    let (began, cpu_before) = (Instant::now(), cpu_seconds());
    let reads = (0..generations).map(|_| async {
        let id = bench.start_generation().await?;
        let seen = read_events(bench.api.open_events(&id, None).await?.context("a log that has not ended")?).await?;
        let record = crate::terminal::follow::to_the_end(&bench.api, &id, None).await?.value;
        ensure!(record["progress"]["received_chunks"] == deltas, "deltas were lost: {record}");
        seen.ended.context("the stream has no end")
    });
    let ended = try_join_all(reads).await?.into_iter().max().context("no generation")?;
    let (took, cpu) = (ended.duration_since(began).as_secs_f64(), cpu_seconds() - cpu_before);
    bench.finish().await;
    let total = f64::from(u32::try_from(generations * deltas)?);
    let per_million = cpu / total * 1e6;
    Ok(format!(
        "  {generations:>2} at once  {:>9.0} deltas/s   {per_million:.2} CPU seconds per million, provider and reader included",
        total / took
    ))
}
