//! `longhand importers`: documents that say what becomes of answers, checked, published, listed and shown over the API.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use longhand::documents::DocumentRef;
use longhand::pipelines::read_yaml;
use longhand::{GenerationId, ImporterCheck, ImporterList, ImporterVersionView, ImporterView, SubjectId};
use longhand_client::Method;
use serde_json::{Value, json};

use crate::api::{read, said, with_query};
use crate::options::{Format, Target};
use crate::terminal::output::{json_line, table, text};
use crate::{failure, running_stack};

/// Work with importers: check, publish, list, show
#[derive(Args, Clone, Debug)]
pub struct ImportersArgs {
    #[command(subcommand)]
    command: ImportersCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ImportersCommand {
    Check(CheckArgs),
    Publish(PublishArgs),
    List(ListArgs),
    Show(ShowArgs),
}

/// Check a document, and show what would become of a generation
#[derive(Args, Clone, Debug)]
struct CheckArgs {
    /// The document, in YAML or JSON
    file: PathBuf,
    /// A generation that it would import
    #[arg(long, value_name = "ID")]
    generation: Option<GenerationId>,
    /// The subject [default: the one that the generation is about]
    #[arg(long, requires = "generation")]
    subject: Option<SubjectId>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Publish a document as the next version of its importer
#[derive(Args, Clone, Debug)]
struct PublishArgs {
    /// The document, in YAML or JSON
    file: PathBuf,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// List importers, by name
#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Begin after this importer
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
    /// The importer, and after `@` the number of the version [default: the newest]
    #[arg(value_name = "NAME[@NUMBER]")]
    importer: DocumentRef,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: ImportersArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        ImportersCommand::Check(args) => check(args).await?,
        ImportersCommand::Publish(args) => publish(args).await?,
        ImportersCommand::List(args) => list(args).await?,
        ImportersCommand::Show(args) => show(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The document of a file, and its name.
fn document(file: &PathBuf) -> anyhow::Result<(Value, String)> {
    let bytes = fs::read(file).map_err(|error| failure::usage(format!("{}: {error}", file.display())))?;
    let wrong = |violation: longhand::pipelines::Violation| failure::usage(format!("{}: {}", file.display(), violation.message));
    let document = read_yaml(&bytes).map_err(wrong)?;
    let name = document["name"].as_str().unwrap_or_default().to_owned();
    anyhow::ensure!(!name.is_empty(), "{}: it has no `name`", file.display());
    Ok((document, name))
}

async fn check(args: CheckArgs) -> anyhow::Result<()> {
    let (document, name) = document(&args.file)?;
    let mut body = json!({ "document": document });
    if let Some(generation) = args.generation {
        body["generation"] = json!(generation);
    }
    if let Some(subject) = args.subject {
        body["subject"] = json!(subject);
    }
    let client = running_stack::connect(&args.target).await?;
    let call = client.request(Method::POST, &format!("/v1/importers/{name}/check")).json(&body);
    let (checked, whole): (ImporterCheck, String) = read(call).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    eprintln!("{name}@{}{}", checked.version, if checked.is_new { ", which would be new" } else { "" });
    let mut rows = Vec::new();
    for (collection, entries) in checked.report.into_iter().flatten().filter(|(name, _)| name != "errors") {
        for entry in entries.as_array().into_iter().flatten() {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            rows.push([collection.clone(), text("id"), text("llm_id"), text("name")]);
        }
    }
    if !rows.is_empty() {
        table(["COLLECTION", "ID", "OWN ID", "NAME"], &rows)?;
    }
    for issue in checked.issues.into_iter().flatten() {
        eprintln!("{}: {}", issue.path, issue.message);
    }
    Ok(())
}

async fn publish(args: PublishArgs) -> anyhow::Result<()> {
    let (document, name) = document(&args.file)?;
    let client = running_stack::connect(&args.target).await?;
    let call = client.request(Method::PUT, &format!("/v1/importers/{name}")).json(&document);
    let (published, whole): (ImporterView, String) = read(call).await?;
    said(args.format, &whole, &format!("{}@{}\n", published.name, published.version.unwrap_or_default()))
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let path = with_query("/v1/importers", &[("after", args.after), ("limit", Some("100".to_owned()))])?;
    let (page, whole): (ImporterList, String) =
        read(running_stack::connect(&args.target).await?.request(Method::GET, &path)).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    let row = |importer: ImporterView| {
        let version = importer.version.map_or_else(|| "built in".to_owned(), |version| version.to_string());
        [importer.name.to_string(), version, importer.updated_at.unwrap_or_default(), importer.title.unwrap_or_default()]
    };
    let rows: Vec<[String; 4]> = page.data.into_iter().map(row).collect();
    table(["IMPORTER", "VERSION", "PUBLISHED", "TITLE"], &rows)?;
    if let (true, Some(last)) = (page.has_more, page.last_id) {
        eprintln!("more: longhand importers list --after {last}{}", args.target.as_flags());
    }
    Ok(())
}

async fn show(args: ShowArgs) -> anyhow::Result<()> {
    let version = args.importer.version.map(|version| format!("/versions/{version}")).unwrap_or_default();
    let path = format!("/v1/importers/{}{version}", args.importer.name);
    let call = running_stack::connect(&args.target).await?.request(Method::GET, &path);
    let (importer, whole): (ImporterVersionView, String) = read(call).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    Ok(text(&serde_norway::to_string(&importer.document)?)?)
}
