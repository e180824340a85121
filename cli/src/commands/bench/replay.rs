//! A finished generation of 10 MB, read again from the bucket.

use std::time::Instant;

use anyhow::Context as _;
use futures::StreamExt as _;
use longhand_local::Script;

use super::Bench;

const DELTA_BYTES: usize = 64;
const DELTAS: usize = 10 * 1024 * 1024 / DELTA_BYTES;
const REPLAYS: usize = 5;

pub async fn measure() -> anyhow::Result<String> {
    let deltas = (0..DELTAS).map(|number| format!("{number:0DELTA_BYTES$}")).collect();
    let bench = Bench::start(Script { deltas, ..Script::default() }, "0").await?;
    let mut request = Bench::request();
    // Without the buffer, the events come from the bucket.
    request["delete_after"] = true.into();
    let id = bench.api.start(&request, None).await?.value["id"].as_str().context("an id")?.to_owned();
    crate::terminal::follow::to_the_end(&bench.api, &id, None).await?;
    let mut best = 0.0_f64;
    for _ in 0..REPLAYS {
        let began = Instant::now();
        let mut body = bench.api.open_events(&id, None).await?.context("a log")?.bytes_stream();
        let mut bytes = 0_u32;
        while let Some(part) = body.next().await {
            bytes += u32::try_from(part?.len())?;
        }
        best = best.max(f64::from(bytes) / 1e6 / began.elapsed().as_secs_f64());
    }
    bench.finish().await;
    Ok(format!("  10 MB of text  {best:.0} MB/s (the best of {REPLAYS})"))
}
