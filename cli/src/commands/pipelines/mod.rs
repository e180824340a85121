//! `longhand pipelines`: documents checked here, run on a stack of their own, and published, listed and shown over the API.

mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use longhand::pipelines::{Document, InputError, InputErrors, PipelineRef, Rehearsal, Violation, read_yaml};
use longhand::{PipelineList, PipelineVersionView, PipelineView};
use longhand_client::{Client, Error, Method};
use serde_json::{Map, Value, json};

use crate::api::{read, said, with_query};
use crate::options::{Format, Target};
use crate::terminal::output::{json_line, line, table, text};
use crate::{failure, running_stack};

/// Work with pipelines: check, run, publish, list, show
#[derive(Args, Clone, Debug)]
pub struct PipelinesArgs {
    #[command(subcommand)]
    command: PipelinesCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum PipelinesCommand {
    Check(CheckArgs),
    Run(Box<run::RunArgs>),
    Publish(PublishArgs),
    List(ListArgs),
    Show(ShowArgs),
}

/// Check a document, without a stack, and show the prompts that it makes of a sample input
#[derive(Args, Clone, Debug)]
struct CheckArgs {
    /// The document, in YAML or JSON; pipelines that it uses are looked for beside it, as NAME.yaml, NAME.yml or NAME.json
    file: PathBuf,
    /// A sample input, in JSON or YAML
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Outputs of steps for the sample, in JSON or YAML, by the steps' ids [default: made up by their schemas]
    #[arg(long, value_name = "PATH", requires = "input")]
    outputs: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// Publish documents as the next versions of their pipelines, those that others use first
#[derive(Args, Clone, Debug)]
struct PublishArgs {
    /// The documents, in YAML or JSON
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// List pipelines, by name
#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Begin after this pipeline
    #[arg(long, value_name = "NAME")]
    after: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Print a version's document, as YAML
#[derive(Args, Clone, Debug)]
struct ShowArgs {
    /// The pipeline, and after `@` the number of the version [default: the newest]
    #[arg(value_name = "NAME[@NUMBER]")]
    pipeline: PipelineRef,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: PipelinesArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        PipelinesCommand::Check(args) => return check(&args),
        PipelinesCommand::Run(args) => return run::run(*args).await,
        PipelinesCommand::Publish(args) => return publish(args).await,
        PipelinesCommand::List(args) => list(args).await?,
        PipelinesCommand::Show(args) => show(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn bytes(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).map_err(|error| failure::usage(format!("{}: {error}", file.display())))
}

/// A file in YAML or JSON.
fn value(file: &Path) -> anyhow::Result<Value> {
    read_yaml(&bytes(file)?).map_err(|violation| failure::usage(format!("{}: {}", file.display(), told(&violation))))
}

/// The pipelines beside a file, by their names. `depth` bounds those that use one another.
fn beside(folder: &Path, reference: &str, depth: usize) -> Option<Document> {
    let name = reference.split('@').next()?;
    let found = fs::read(found_beside(folder, name)?).ok()?;
    let deeper = |inner: &str| depth.checked_sub(1).and_then(|depth| beside(folder, inner, depth));
    Document::parse(&found, deeper).ok()
}

/// The file of a pipeline beside others.
fn found_beside(folder: &Path, name: &str) -> Option<PathBuf> {
    ["yaml", "yml", "json"].into_iter().map(|kind| folder.join(format!("{name}.{kind}"))).find(|file| file.is_file())
}

fn told(violation: &Violation) -> String {
    if violation.path.is_empty() {
        format!("it {}", violation.message)
    } else {
        format!("{}: {}", violation.path, violation.message)
    }
}

/// How many pipelines may use one another before a check gives up.
const DEPTH_MAX: usize = 8;

fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let folder = args.file.parent().unwrap_or_else(|| Path::new("."));
    let document = match Document::parse(&bytes(&args.file)?, |reference| beside(folder, reference, DEPTH_MAX)) {
        Ok(document) => document,
        Err(violations) => {
            if args.format.json {
                line(json!({ "valid": false, "errors": violations }))?;
            } else {
                violations.iter().try_for_each(|violation| line(told(violation)))?;
            }
            return Ok(failure::failed());
        }
    };
    let rehearsal = args.input.as_ref().map(|input| rehearse(&document, input, args.outputs.as_deref())).transpose()?;
    let (rehearsal, errors) = match rehearsal {
        None => (None, None),
        Some(Ok(rehearsal)) => (Some(rehearsal), None),
        Some(Err(errors)) => (None, Some(errors)),
    };
    let is_sound = errors.is_none() && rehearsal.iter().flat_map(|rehearsal| &rehearsal.steps).all(|step| step.error.is_none());
    let steps: Vec<&str> = document.steps.iter().map(|step| step.id.as_str()).collect();
    if args.format.json {
        let sha256 = document.sha256();
        let whole = json!({
            "valid": true, "name": document.name, "sha256": sha256, "steps": steps, "rehearsal": rehearsal, "input_errors": errors,
        });
        line(whole)?;
    } else {
        rehearsal.iter().try_for_each(print)?;
        for InputError { path, message, expected, .. } in errors.iter().flat_map(|errors| &errors.errors) {
            line(format!("{path}: {message}; expected: {expected}"))?;
        }
        if let Some(more) = errors.map(|errors| errors.more).filter(|more| *more > 0) {
            line(format!("and {more} more"))?;
        }
        eprintln!("{}: {} steps: {}", document.name, steps.len(), steps.join(" "));
    }
    Ok(if is_sound { ExitCode::SUCCESS } else { failure::failed() })
}

fn rehearse(document: &Document, input: &Path, outputs: Option<&Path>) -> anyhow::Result<Result<Rehearsal, InputErrors>> {
    let outputs = match outputs.map(value).transpose()? {
        None => Map::new(),
        Some(Value::Object(outputs)) => outputs,
        Some(_) => return Err(failure::usage("--outputs: expected an object by the steps' ids")),
    };
    Ok(document.rehearse(value(input)?, &outputs))
}

fn print(rehearsal: &Rehearsal) -> anyhow::Result<()> {
    for step in &rehearsal.steps {
        line(format!("=== {}{}", step.id, if step.wanted { "" } else { " (skipped)" }))?;
        if let Some(error) = &step.error {
            line(format!("error: {error}"))?;
        }
        let texts = step.request.iter().flat_map(|request| {
            let messages = request["messages"].as_array().into_iter().flatten().map(|message| &message["content"]);
            [&request["instructions"], &request["prompt"]].into_iter().chain(messages)
        });
        texts.filter_map(Value::as_str).try_for_each(line)?;
    }
    Ok(())
}

async fn publish(args: PublishArgs) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect(&args.target).await?;
    let mut documents = BTreeMap::new();
    for file in &args.files {
        documents.insert(file.display().to_string(), value(file)?);
    }
    let (published, has_failed) = publish_all(&client, documents).await?;
    for (pipeline, whole) in published {
        said(args.format, &whole, &format!("{}@{}\n", pipeline.name, pipeline.version))?;
    }
    Ok(if has_failed { failure::failed() } else { ExitCode::SUCCESS })
}

/// Publishes documents, by their files, those that others use first. Returns what was published, and whether a document was refused, whose errors
/// are printed.
async fn publish_all(client: &Client, documents: BTreeMap<String, Value>) -> anyhow::Result<(Vec<(PipelineView, String)>, bool)> {
    let (mut published, mut has_failed) = (Vec::new(), false);
    for (file, document) in in_order(documents) {
        let name = document["name"].as_str().unwrap_or_default().to_owned();
        anyhow::ensure!(!name.is_empty(), "{file}: it has no `name`");
        let call = client.request(Method::PUT, &format!("/v1/pipelines/{name}")).json(&document);
        match read::<PipelineView>(call).await {
            Ok(one) => published.push(one),
            Err(error) => {
                let problem = error.downcast_ref::<Error>().and_then(Error::problem);
                let violations = problem.map(|problem| problem.errors.as_slice()).unwrap_or_default();
                if violations.is_empty() {
                    return Err(error).context(file);
                }
                for violation in violations {
                    eprintln!("{file}: {}: {}", violation.pointer, violation.detail);
                }
                has_failed = true;
            }
        }
    }
    Ok((published, has_failed))
}

/// The names of the pipelines that a document uses.
fn used(document: &Value) -> BTreeSet<String> {
    let steps = document["steps"].as_array().into_iter().flatten();
    steps.filter_map(|step| step["use"].as_str()?.split('@').next().map(str::to_owned)).collect()
}

/// The documents, each behind those that it uses.
fn in_order(mut documents: BTreeMap<String, Value>) -> Vec<(String, Value)> {
    let mut ordered = Vec::new();
    while !documents.is_empty() {
        let names: BTreeSet<&str> = documents.values().filter_map(|document| document["name"].as_str()).collect();
        let is_free = |document: &Value| used(document).iter().all(|used| !names.contains(used.as_str()));
        // Those that use one another are told so by the API.
        let next = documents.iter().find(|(_, document)| is_free(document)).or_else(|| documents.iter().next());
        let Some(next) = next.map(|(file, _)| file.clone()) else { break };
        ordered.extend(documents.remove_entry(&next));
    }
    ordered
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let path = with_query("/v1/pipelines", &[("after", args.after), ("limit", Some("100".to_owned()))])?;
    let call = running_stack::connect(&args.target).await?.request(Method::GET, &path);
    let (page, whole): (PipelineList, String) = read(call).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    let row = |pipeline: PipelineView| {
        let title = pipeline.title.unwrap_or_default();
        [pipeline.name.to_string(), pipeline.version.to_string(), pipeline.steps.to_string(), pipeline.updated_at, title]
    };
    let rows: Vec<[String; 5]> = page.data.into_iter().map(row).collect();
    table(["PIPELINE", "VERSION", "STEPS", "PUBLISHED", "TITLE"], &rows)?;
    if let (true, Some(last)) = (page.has_more, page.last_id) {
        eprintln!("more: longhand pipelines list --after {last}{}", args.target.as_flags());
    }
    Ok(())
}

async fn show(args: ShowArgs) -> anyhow::Result<()> {
    let version = args.pipeline.version.map(|version| format!("/versions/{version}")).unwrap_or_default();
    let path = format!("/v1/pipelines/{}{version}", args.pipeline.name);
    let call = running_stack::connect(&args.target).await?.request(Method::GET, &path);
    let (pipeline, whole): (PipelineVersionView, String) = read(call).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    eprintln!("{}@{}, published {}", pipeline.name, pipeline.version, pipeline.created_at);
    Ok(text(&serde_norway::to_string(&pipeline.document)?)?)
}
