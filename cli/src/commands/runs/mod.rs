//! `longhand runs`: runs of pipelines, over the API.

pub mod follow;
mod start;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use longhand::quota::dollars;
use longhand::runs::RunReason;
use longhand::{RunList, RunView};
use longhand_client::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::api::{flags, read, said, with_query};
use crate::options::{Format, Target};
use crate::terminal::output::{Fields, json_line, line, table, text};
use crate::{failure, running_stack};

use follow::Follower;
use start::StartArgs;
pub use start::report_input_errors;

/// Work with runs of pipelines: start, follow, cancel, go on from what failed, report
#[derive(Args, Clone, Debug)]
pub struct RunsArgs {
    #[command(subcommand)]
    command: RunsCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum RunsCommand {
    Start(Box<StartArgs>),
    Get(OfRun),
    List(ListArgs),
    Tail(OfRun),
    Cancel(OfRun),
    Redrive(RedriveArgs),
    Report(ReportArgs),
}

/// Show a run; `tail`: follow it to its end, step by step, and exit with 0 if it completes
#[derive(Args, Clone, Debug)]
struct OfRun {
    /// The run's id
    id: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// List runs, newest first
#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Those of this pipeline, or of one version of it
    #[arg(long, value_name = "NAME[@NUMBER]")]
    pipeline: Option<String>,
    /// Those with this status
    #[arg(long, value_name = "STATUS", value_parser = ["pending", "running", "cancelling", "completed", "failed", "cancelled"])]
    status: Option<String>,
    /// Begin after this run
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Repeat a run that has ended as a new one, which keeps what was completed
#[derive(Args, Clone, Debug)]
struct RedriveArgs {
    /// Generate this step, and those behind it, anew, though they have completed
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// Go on by the newest version of the pipeline
    #[arg(long)]
    latest: bool,
    /// A request that is repeated with the same key returns the same run
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Follow the new run to its end, as `longhand runs tail` does
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    of: OfRun,
}

/// Print the report of a run: its result, whether it is coherent, its steps and its execution log, as JSON
#[derive(Args, Clone, Debug)]
struct ReportArgs {
    /// Write it into this file instead
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The run's id
    id: String,
    #[command(flatten)]
    target: Target,
}

pub async fn run(args: RunsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        RunsCommand::Start(args) => return start::run(*args).await,
        RunsCommand::Tail(args) => return tail(&args).await,
        RunsCommand::Redrive(args) => return redrive(args).await,
        RunsCommand::Get(args) => shown(args.format, args.call(Method::GET, "").await?).await,
        RunsCommand::List(args) => list(args).await,
        RunsCommand::Cancel(args) => shown(args.format, args.call(Method::POST, "/cancel").await?).await,
        RunsCommand::Report(args) => report(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

impl OfRun {
    /// A request about the run. No id has a character that a path escapes; another text is none, and is refused as such.
    async fn call(&self, method: Method, rest: &str) -> anyhow::Result<RequestBuilder> {
        let client = running_stack::connect(&self.target).await?;
        Ok(client.request(method, &format!("/v1/runs/{}{rest}", self.id)))
    }
}

/// Prints a run.
async fn shown(format: Format, call: RequestBuilder) -> anyhow::Result<()> {
    let (run, whole): (RunView, String) = read(call).await?;
    if format.json {
        return Ok(json_line(&whole)?);
    }
    let progress = &run.progress;
    let reason = run.reason.map(RunReason::name);
    let steps = format!("{} of {}", progress.completed_steps, progress.total_steps);
    let current = Some(progress.current_steps.join(", ")).filter(|steps| !steps.is_empty());
    let subject = run.subject.as_ref();
    let mut fields = Fields::default();
    fields.add("id", &run.id).add("pipeline", format!("{}@{}", run.pipeline.name, run.pipeline.version));
    fields.add("status", run.status.name()).add_if("reason", reason);
    fields.add_if("error", run.error.as_ref().map(|error| &error.message));
    fields.add("steps", steps).add_if("phase", progress.phase.as_ref()).add_if("at work", current);
    fields.add("percent", progress.percentage).add("tokens", run.token_usage.total_tokens).add("cost", dollars(run.cost));
    fields.add("created", &run.created_at).add_if("started", run.started_at.as_ref()).add_if("ended", run.ended_at.as_ref());
    fields.add_if("deadline", run.deadline_at.as_ref().filter(|_| run.ended_at.is_none()));
    fields.add_if("subject", subject).add_if("redrive of", run.redrive_of.as_ref());
    fields.print()?;
    run.checks
        .iter()
        .flatten()
        .try_for_each(|check| line(format!("{}  {}", if check.ok { "ok" } else { "not" }, check.message)))?;
    Ok(())
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let path =
        with_query("/v1/runs", &[("pipeline", args.pipeline.clone()), ("status", args.status.clone()), ("after", args.after)])?;
    let call = running_stack::connect(&args.target).await?.request(Method::GET, &path);
    let (page, whole): (RunList, String) = read(call).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    let row = |run: &RunView| {
        let steps = format!("{}/{}", run.progress.completed_steps, run.progress.total_steps);
        let pipeline = format!("{}@{}", run.pipeline.name, run.pipeline.version);
        [run.id.to_string(), pipeline, run.status.name().to_owned(), steps, dollars(run.cost), run.created_at.clone()]
    };
    let rows: Vec<[String; 6]> = page.data.iter().map(row).collect();
    table(["RUN", "PIPELINE", "STATUS", "STEPS", "COST", "CREATED"], &rows)?;
    if let (true, Some(last)) = (page.has_more, page.last_id) {
        let filters = flags([("pipeline", args.pipeline), ("status", args.status)]);
        eprintln!("more: longhand runs list --after {last}{filters}{}", args.target.as_flags());
    }
    Ok(())
}

/// Prints what happens in a run until it has ended.
async fn tail(args: &OfRun) -> anyhow::Result<ExitCode> {
    let mut follower = Follower::new(&args.id, args.format);
    let ended = tokio::select! {
        ended = follower.run(async || running_stack::connect(&args.target).await) => ended?,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\nto continue: longhand runs tail {}{}", args.id, args.target.as_flags());
            return Ok(failure::interrupted());
        }
    };
    if !args.format.json {
        line(follow::told(&ended))?;
    }
    Ok(follow::outcome(&ended))
}

/// Prints the id of a run that was started, and follows it if that is wanted.
async fn begun(run: &RunView, whole: &str, follow: bool, target: Target, format: Format) -> anyhow::Result<ExitCode> {
    if !follow {
        said(format, whole, &format!("{}\n", run.id))?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("run {}", run.id);
    tail(&OfRun { id: run.id.to_string(), target, format }).await
}

async fn redrive(args: RedriveArgs) -> anyhow::Result<ExitCode> {
    let mut how = json!({});
    if let Some(from) = &args.from {
        how["from"] = from.as_str().into();
    }
    if args.latest {
        how["version"] = "latest".into();
    }
    let call = args.of.call(Method::POST, "/redrive").await?.json(&how);
    let call = args.idempotency_key.iter().fold(call, |call, key| call.header("idempotency-key", key));
    let (run, whole): (RunView, String) = read(call).await?;
    begun(&run, &whole, args.follow, args.of.target, args.of.format).await
}

/// The report of a run with its result in it, however large that is.
pub async fn whole_report(client: &Client, id: &str) -> anyhow::Result<Value> {
    let (mut report, _): (Value, String) = read(client.request(Method::GET, &format!("/v1/runs/{id}/report"))).await?;
    if let Some(url) = report["run"]["result_url"].as_str() {
        report["run"]["result"] = serde_json::from_str(&client.text_at(url).await?).context("the result cannot be read")?;
    }
    Ok(report)
}

async fn report(args: ReportArgs) -> anyhow::Result<()> {
    let client = running_stack::connect(&args.target).await?;
    let report = whole_report(&client, &args.id).await?.to_string();
    match &args.output {
        Some(file) => fs::write(file, report).with_context(|| format!("{} cannot be written", file.display())),
        None => Ok(text(&report)?),
    }
}
