//! `longhand demo`: the main job, whole, on a throw-away stack, with proof that the text kept is the text sent.

mod proof;
mod readers;
mod source;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use longhand_local::{Data, Options, Stack};
use serde_json::Value;

use crate::api::Api;
use crate::options::{Format, Tenant};
use crate::terminal::{follow, output};
use crate::{failure, place};

use proof::Proof;
use readers::{Readers, Seen};
use source::{Source, SourceArgs};

/// With a provider of one's own recording, a minute without any change is a fault.
const STANDSTILL: Duration = Duration::from_mins(1);

/// Play a recorded generation through a throw-away stack, and prove that nothing of it was lost
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    tenant: Tenant,
    /// Follow it live with two readers, one of which keeps leaving and coming back [default: yes, but with --json no: a
    /// generation that nobody watches costs less]
    #[arg(long, value_name = "YES|NO", num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    readers: Option<bool>,
    #[command(flatten)]
    format: Format,
}

/// A generation that has ended, and how long it took.
struct Run {
    id: String,
    record: Value,
    start: Duration,
    total: Duration,
    seen: Option<(Seen, Seen)>,
}

pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let source = Source::open(&args.source)?;
    let folder = tempfile::Builder::new().prefix("longhand-demo-").tempdir().context("cannot make a throw-away folder")?;
    let mut env = source.environment()?;
    // As on AWS: what it costs to be watched is shown as it would be there.
    env.entry("LONGHAND_WATCHED_WINDOW_MS".to_owned()).or_insert_with(|| "50".to_owned());
    let options = Options {
        data: Data::Folder(folder.path().to_owned()),
        authorize: true,
        organization: args.tenant.name(),
        env,
        ..Options::default()
    };
    let stack = Stack::start(options).await?;
    let outcome = tokio::select! {
        outcome = play(&stack, &source, &args) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(failure::interrupted()),
    };
    stack.shutdown().await;
    outcome
}

async fn play(stack: &Stack, source: &Source, args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let api = place::of(stack)?;
    eprintln!("{}, over {}", source.describe(), stack.url());
    let run = see_through(&api, source, args.readers.unwrap_or(!args.format.json)).await?;
    let proof = Proof::gather(&api, source, &run, stack.write_units()).await?;
    if args.format.json {
        output::line(serde_json::to_string(proof.figures())?)?;
    } else {
        proof.print()?;
    }
    let failed = proof.failed();
    for check in &failed {
        eprintln!("error: {check}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { failure::failed() })
}

async fn see_through(api: &Api, source: &Source, with_readers: bool) -> anyhow::Result<Run> {
    let began = Instant::now();
    let started = api.start(&source.request(), None).await?;
    let start = began.elapsed();
    let id = started.value["id"].as_str().context("the API did not say the generation's id")?.to_owned();
    eprintln!("{id} was accepted in {} ms", start.as_millis());
    let readers = with_readers.then(|| Readers::start(api, &id));
    let record = follow::to_the_end(api, &id, source.is_recorded().then_some(STANDSTILL)).await?.value;
    let total = began.elapsed();
    let seen = match readers {
        Some(readers) => Some(readers.finish().await?),
        None => None,
    };
    Ok(Run { id, record, start, total, seen })
}
