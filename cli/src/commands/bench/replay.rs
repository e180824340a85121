//! The replay of a finished generation of 10 MB from the bucket.

use std::time::Instant;

use anyhow::Context as _;
use futures::StreamExt as _;
use longhand_client::Response;
use longhand_local::Script;

use super::peers::Provider;
use super::reader::call_provider;
use super::{Bench, request};

const DELTA_BYTES: usize = 64;
const DELTAS: usize = 10 * 1024 * 1024 / DELTA_BYTES;
const REPLAYS: usize = 5;

pub async fn measure() -> anyhow::Result<String> {
    let deltas = (0..DELTAS).map(|number| format!("{number:0DELTA_BYTES$}")).collect();
    let script = Script { deltas, ..Script::default() };
    let direct = direct(script.clone()).await?;
    let bench = Bench::start(Provider::playing(script)?, None).await?;
    let mut request = request();
    // Without the buffer, the events come from the bucket.
    request["delete_after"] = true.into();
    let id = bench.client.start(&request, None).await?.id.to_string();
    crate::terminal::follow::to_the_end(&bench.client, &id, None).await?;
    let mut best = 0.0_f64;
    for _ in 0..REPLAYS {
        let began = Instant::now();
        best = best.max(megabytes_per_second(bench.client.open_events(&id, None).await?.context("no log")?, began).await?);
    }
    bench.finish().await;
    Ok(format!(
        "  10 MB of text  {best:.0} MB/s (the best of {REPLAYS})   x{:.2} of the provider read directly ({direct:.0} MB/s)",
        best / direct
    ))
}

/// The same text from the provider itself.
async fn direct(script: Script) -> anyhow::Result<f64> {
    let provider = Provider::playing(script)?;
    let mut best = 0.0_f64;
    for _ in 0..REPLAYS {
        let began = Instant::now();
        let response = call_provider(provider.base_url()).await?;
        best = best.max(megabytes_per_second(response, began).await?);
    }
    Ok(best)
}

async fn megabytes_per_second(response: Response, began: Instant) -> anyhow::Result<f64> {
    let mut body = response.bytes_stream();
    let mut bytes = 0_u32;
    while let Some(part) = body.next().await {
        bytes += u32::try_from(part?.len())?;
    }
    Ok(f64::from(bytes) / 1e6 / began.elapsed().as_secs_f64())
}
