//! `longhand demo`: runs one generation on a temporary stack, and proves that the stored text is the text that was sent.

mod batch;
mod pipeline;
mod proof;
mod readers;
mod source;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use clap::builder::BoolishValueParser;
use longhand::generation::Generation;
use longhand_client::{Client, Reply};
use longhand_local::{Data, Options, Stack};

use crate::options::{Format, Tenant};
use crate::terminal::{follow, output};
use crate::{failure, running_stack};

use proof::Proof;
use readers::{Readers, Seen};
use source::{LIFELIKE_TEMPO, Source, SourceArgs};

/// With a recorded provider, a generation that does not change for so long has failed.
const STANDSTILL: Duration = Duration::from_mins(1);

/// Play a recorded generation through a temporary stack, and prove that none of it was lost
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    tenant: Tenant,
    /// Follow it live with two readers, one of which keeps disconnecting [default: yes; with --json no, because a generation
    /// that nobody watches costs less]
    #[arg(long, value_name = "YES|NO", num_args = 0..=1, default_missing_value = "yes", value_parser = BoolishValueParser::new())]
    readers: Option<bool>,
    /// Play twelve items as a batch instead, two of which fail, and verify the notification of its end
    #[arg(long, conflicts_with_all = ["readers", "provider"])]
    batch: bool,
    /// Play the eighteen agents of E.D.N.360 as a run of a pipeline instead, one of which breaks off once, and check its tokens and its cost
    #[arg(long, conflicts_with_all = ["readers", "provider", "batch", "deltas"])]
    pipeline: bool,
    #[command(flatten)]
    format: Format,
}

/// A generation that has ended, and how long it took.
struct Run {
    id: String,
    record: Reply<Generation>,
    start: Duration,
    total: Duration,
    seen: Option<(Seen, Seen)>,
}

pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    if args.pipeline {
        let agents = pipeline::agents(args.source.tempo)?;
        let env = pipeline::environment(&agents);
        return on_its_own(env, &args.tenant, async |stack| pipeline::play(stack, &agents, args.format).await).await;
    }
    let source = Source::open(&args.source, if args.batch { batch::TEMPO } else { LIFELIKE_TEMPO })?;
    let env = source.environment()?;
    let play = async |stack: &Stack| {
        if args.batch { batch::play(stack, &source, args.format).await } else { play(stack, &source, &args).await }
    };
    on_its_own(env, &args.tenant, play).await
}

/// Plays on a stack of its own, which is gone afterwards.
async fn on_its_own(
    mut env: BTreeMap<String, String>,
    tenant: &Tenant,
    play: impl AsyncFnOnce(&Stack) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("longhand-demo-").tempdir().context("cannot make a temporary folder")?;
    // The default on AWS, so that the write units of a watched generation are those of AWS.
    env.entry("LONGHAND_WATCHED_WINDOW_MS".to_owned()).or_insert_with(|| "50".to_owned());
    let options = Options {
        data: Data::Folder(folder.path().to_owned()),
        authorize: true,
        organization: tenant.name(),
        env,
        ..Options::default()
    };
    let stack = Stack::start(options).await?;
    let outcome = tokio::select! {
        outcome = play(&stack) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(failure::interrupted()),
    };
    stack.shutdown().await;
    outcome
}

async fn play(stack: &Stack, source: &Source, args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect_to_stack(stack)?;
    eprintln!("{}, over {}", source.describe(), stack.url());
    let run = run_generation(&client, source, args.readers.unwrap_or(!args.format.json)).await?;
    let proof = Proof::gather(&client, source, &run, stack.write_units()).await?;
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

async fn run_generation(client: &Client, source: &Source, with_readers: bool) -> anyhow::Result<Run> {
    let began = Instant::now();
    let started = client.start(&source.request(), None).await?;
    let start = began.elapsed();
    let id = started.id.to_string();
    eprintln!("{id} was accepted in {} ms", start.as_millis());
    let readers = with_readers.then(|| Readers::start(client, &id));
    let record = follow::to_the_end(client, &id, source.is_recorded().then_some(STANDSTILL)).await?;
    let total = began.elapsed();
    let seen = match readers {
        Some(readers) => Some(readers.finish().await?),
        None => None,
    };
    Ok(Run { id, record, start, total, seen })
}
