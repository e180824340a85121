//! `longhand pipelines run`: a pipeline from its document to its result, on a stack of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use longhand::RunView;
use longhand::runs::RunStatus;
use longhand_client::Method;
use longhand_local::{Agents, Data, Options, Stack};
use serde_json::{Value, json};

use super::{DEPTH_MAX, found_beside, publish_all, used, value};
use crate::api::read;
use crate::commands::runs::follow::{Follower, told};
use crate::commands::runs::{report_input_errors, whole_report};
use crate::environment::{self, PROVIDERS};
use crate::options::{Format, Tenant};
use crate::provider::{ProviderArgs, key_name};
use crate::terminal::output::line;
use crate::{failure, running_stack};

const PRICES: &str = "LONGHAND_PRICES";
/// Of the recorded agents' model, in micro-dollars per million tokens.
const RECORDED_PRICES: &str = r#"{"openai":{"gpt-5-mini":{"input":75000,"output":300000}}}"#;

/// Run a pipeline on a stack of its own: publish it, follow its run, and exit with 0 if it completes and every check of its result is true
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The document, in YAML or JSON; pipelines that it uses are looked for beside it, as NAME.yaml, NAME.yml or NAME.json
    file: PathBuf,
    /// The input, in JSON or YAML
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Write the report into this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Ask recorded agents, those of E.D.N.360, instead of a provider
    #[arg(long, conflicts_with = "provider")]
    recorded: bool,
    #[command(flatten)]
    provider: ProviderArgs,
    /// Keep the stack's data in this folder [default: in memory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    format: Format,
}

/// What is to be run.
struct Case {
    name: String,
    /// By the files that they are in.
    documents: BTreeMap<String, Value>,
    input: Value,
}

pub async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let case = Case::read(&args)?;
    let agents = if args.recorded { Some(Agents::start(0.0, &[])?) } else { None };
    let env = match &agents {
        Some(agents) => recorded(agents),
        None => args.provider.environment()?,
    };
    let data = args.data.clone().map_or(Data::Memory, Data::Folder);
    let options = Options { data, authorize: true, organization: args.tenant.name(), env, ..Options::default() };
    let stack = Stack::start(options).await?;
    let outcome = tokio::select! {
        outcome = play(&stack, &case, &args) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(failure::interrupted()),
    };
    stack.shutdown().await;
    outcome
}

/// The environment of a stack whose provider the recorded agents are.
fn recorded(agents: &Agents) -> BTreeMap<String, String> {
    let mut environment = environment::settings();
    let providers = json!({ "openai": { "base_url": agents.base_url(), "key_env": key_name("recorded") } });
    environment.insert(PROVIDERS.to_owned(), providers.to_string());
    environment.entry(PRICES.to_owned()).or_insert_with(|| RECORDED_PRICES.to_owned());
    environment
}

impl Case {
    fn read(args: &RunArgs) -> anyhow::Result<Self> {
        let document = value(&args.file)?;
        let name = document["name"].as_str().unwrap_or_default().to_owned();
        anyhow::ensure!(!name.is_empty(), "{}: it has no `name`", args.file.display());
        let folder = args.file.parent().unwrap_or_else(|| Path::new("."));
        let mut documents = BTreeMap::new();
        add_used(folder, &document, &mut documents, DEPTH_MAX)?;
        documents.insert(args.file.display().to_string(), document);
        Ok(Self { name, documents, input: value(&args.input)? })
    }
}

/// Adds the pipelines that a document uses and that lie beside it. One that is absent is told of where the document is published.
fn add_used(folder: &Path, document: &Value, documents: &mut BTreeMap<String, Value>, depth: usize) -> anyhow::Result<()> {
    for name in used(document) {
        let Some(file) =
            found_beside(folder, &name).filter(|file| depth > 0 && !documents.contains_key(&file.display().to_string()))
        else {
            continue;
        };
        let inner = value(&file)?;
        documents.insert(file.display().to_string(), inner.clone());
        add_used(folder, &inner, documents, depth - 1)?;
    }
    Ok(())
}

async fn play(stack: &Stack, case: &Case, args: &RunArgs) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect_to_stack(stack)?;
    let (published, has_failed) = publish_all(&client, case.documents.clone()).await?;
    for (pipeline, _) in &published {
        eprintln!("published {}@{}", pipeline.name, pipeline.version);
    }
    if has_failed {
        return Ok(failure::failed());
    }
    let body = json!({ "pipeline": case.name, "input": case.input });
    let started = read::<RunView>(client.request(Method::POST, "/v1/runs").json(&body)).await;
    let run = match started {
        Ok((run, _)) => run,
        Err(error) => return report_input_errors(error, args.format),
    };
    eprintln!("run {}", run.id);
    let id = run.id.to_string();
    let ended = Follower::new(&id, args.format).run(async || running_stack::connect_to_stack(stack)).await?;
    let report = whole_report(&client, &id).await?;
    if let Some(file) = &args.report {
        fs::write(file, format!("{report:#}\n")).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let is_coherent = report["is_coherent"] == true;
    if !args.format.json {
        for check in ended.checks.iter().flatten() {
            line(format!("{:3}  {}", if check.ok { "ok" } else { "not" }, check.message))?;
        }
        line(told(&ended))?;
    }
    if ended.status == RunStatus::Completed && !is_coherent {
        eprintln!("error: the run completed, and its result is not coherent");
    }
    Ok(if is_coherent { ExitCode::SUCCESS } else { failure::not_completed() })
}
