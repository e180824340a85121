//! `longhand subjects`: subjects and their versions, over the API.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use longhand::SubjectId;
use longhand::subjects::SubjectView;
use longhand::subjects::version::VersionView;
use longhand_client::{Method, RequestBuilder, send};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{body, flags, read, said, with_query};
use crate::options::{Format, Target};
use crate::running_stack;
use crate::terminal::output::{json_line, size, table, text};

/// Work with subjects and the versions of their text
#[derive(Args, Clone, Debug)]
pub struct SubjectsArgs {
    #[command(subcommand)]
    command: SubjectsCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum SubjectsCommand {
    List(ListArgs),
    Versions(OfSubject),
    Output(OfVersion),
    Diff(DiffArgs),
    Edit(EditArgs),
    Restore(RestoreArgs),
    Export(ExportArgs),
    Regenerate(RegenerateArgs),
    Delete(OfSubject),
}

/// List subjects, by name
#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Those whose names begin so
    #[arg(long)]
    prefix: Option<String>,
    /// Those with this label
    #[arg(long)]
    label: Option<String>,
    /// Begin after this subject
    #[arg(long, value_name = "SUBJECT")]
    after: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// A subject
#[derive(Args, Clone, Debug)]
struct OfSubject {
    /// The subject
    subject: SubjectId,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Print the text of a version
#[derive(Args, Clone, Debug)]
struct OfVersion {
    /// The version's number [default: the current one]
    #[arg(long, value_name = "NUMBER")]
    number: Option<u64>,
    #[command(flatten)]
    of: OfSubject,
}

/// Show what differs between two versions
#[derive(Args, Clone, Debug)]
struct DiffArgs {
    /// The first version [default: the one before the second]
    #[arg(long, value_name = "NUMBER")]
    from: Option<u64>,
    /// The second version [default: the current one]
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    #[command(flatten)]
    of: OfSubject,
}

/// Make a version from a file
#[derive(Args, Clone, Debug)]
struct EditArgs {
    /// The file with the text
    #[arg(long, value_name = "PATH")]
    file: PathBuf,
    #[command(flatten)]
    change: Change,
}

/// Make a version with the text of an earlier one
#[derive(Args, Clone, Debug)]
struct RestoreArgs {
    /// The earlier version's number
    #[arg(long, value_name = "NUMBER")]
    number: u64,
    #[command(flatten)]
    change: Change,
}

/// Start the last request of a subject again
#[derive(Args, Clone, Debug)]
struct RegenerateArgs {
    /// Why, as the version tells
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    of: OfSubject,
}

/// A change by hand
#[derive(Args, Clone, Debug)]
struct Change {
    /// Why, as the version tells
    #[arg(long)]
    reason: Option<String>,
    /// Only if this version is current
    #[arg(long, value_name = "NUMBER")]
    if_current: Option<u64>,
    #[command(flatten)]
    of: OfSubject,
}

/// Print all versions with their texts, in one file
#[derive(Args, Clone, Debug)]
struct ExportArgs {
    /// The form of the file
    #[arg(long = "as", value_name = "FORM", value_parser = ["json", "ndjson", "md", "csv"], default_value = "json")]
    form: String,
    /// The subject
    subject: SubjectId,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    has_more: bool,
    last_id: Option<String>,
}

#[derive(Deserialize)]
struct Versions {
    data: Vec<VersionView>,
    has_more: bool,
}

pub async fn run(args: SubjectsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        SubjectsCommand::List(args) => list(args).await,
        SubjectsCommand::Versions(args) => versions(args).await,
        SubjectsCommand::Output(args) => output(args).await,
        SubjectsCommand::Diff(args) => diff(args).await,
        SubjectsCommand::Edit(args) => edit(args).await,
        SubjectsCommand::Restore(args) => {
            let body = json!({ "reason": args.change.reason });
            make(&args.change, &format!("/versions/{}/restore", args.number), &body).await
        }
        SubjectsCommand::Export(args) => export(args).await,
        SubjectsCommand::Regenerate(args) => regenerate(args).await,
        SubjectsCommand::Delete(args) => {
            let answer = body(send(args.call(Method::DELETE, "").await?).await?).await?;
            said(args.format, &answer, &format!("{} is deleted\n", args.subject))
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

impl OfSubject {
    /// A request about the subject. A subject has no character that a path escapes.
    async fn call(&self, method: Method, rest: &str) -> anyhow::Result<RequestBuilder> {
        let client = running_stack::connect(&self.target).await?;
        Ok(client.request(method, &format!("/v1/subjects/{}{rest}", self.subject)))
    }
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let path =
        with_query("/v1/subjects", &[("prefix", args.prefix.clone()), ("label", args.label.clone()), ("after", args.after)])?;
    let call = running_stack::connect(&args.target).await?.request(Method::GET, &path);
    let (page, whole): (Page<SubjectView>, String) = read(call).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let rows: Vec<[String; 4]> = page
        .data
        .into_iter()
        .map(|subject| [subject.id.to_string(), number(subject.current), subject.updated_at, subject.title.unwrap_or_default()])
        .collect();
    table(["SUBJECT", "CURRENT", "UPDATED", "TITLE"], &rows)?;
    if let (true, Some(last)) = (page.has_more, page.last_id) {
        let filters = flags([("prefix", args.prefix), ("label", args.label)]);
        eprintln!("more: longhand subjects list --after {last}{filters}{}", args.target.as_flags());
    }
    Ok(())
}

async fn versions(args: OfSubject) -> anyhow::Result<()> {
    let (page, whole): (Versions, String) = read(args.call(Method::GET, "/versions?limit=100").await?).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut rows = Vec::with_capacity(page.data.len());
    for VersionView { version, labels, .. } in page.data {
        let change = word(&serde_json::to_value(version.change_type)?);
        let labels = labels.into_iter().collect::<Vec<_>>().join(" ");
        let about = version.reason.or(version.model).unwrap_or_default();
        rows.push([version.number.to_string(), change, version.created_at, size(version.bytes), labels, about]);
    }
    table(["NUMBER", "CHANGE", "CREATED", "SIZE", "LABELS", "REASON OR MODEL"], &rows)?;
    if page.has_more {
        eprintln!("there are older ones: `GET /v1/subjects/{}/versions?before=NUMBER`", args.subject);
    }
    Ok(())
}

async fn output(args: OfVersion) -> anyhow::Result<()> {
    let number = args.number.map_or_else(|| "current".to_owned(), |number| number.to_string());
    let (output, whole): (Value, String) = read(args.of.call(Method::GET, &format!("/versions/{number}/output")).await?).await?;
    if args.of.format.json {
        return Ok(json_line(&whole)?);
    }
    match (output["text"].as_str(), output["url"].as_str()) {
        (Some(own), _) => Ok(text(own)?),
        (None, Some(url)) => Ok(text(&format!("{url}\n"))?),
        (None, None) => anyhow::bail!("the version has neither a text nor a URL"),
    }
}

async fn diff(args: DiffArgs) -> anyhow::Result<()> {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let path = with_query("/diff", &[("from", number(args.from)), ("to", number(args.to))])?;
    let (diff, whole): (longhand::Diff, String) = read(args.of.call(Method::GET, &path).await?).await?;
    if args.of.format.json {
        return Ok(json_line(&whole)?);
    }
    let mut lines = format!("--- version {}\n+++ version {}\n", diff.from, diff.to);
    for hunk in diff.changes.hunks {
        writeln!(lines, "@@ -{},{} +{},{} @@", hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines)?;
        for line in hunk.lines {
            writeln!(lines, "{}{}", line.op, line.text.trim_end_matches('\n'))?;
        }
    }
    Ok(text(&lines)?)
}

async fn edit(args: EditArgs) -> anyhow::Result<()> {
    let read = std::fs::read_to_string(&args.file);
    let own = read.map_err(|error| anyhow::anyhow!("{}: {error}", args.file.display()))?;
    make(&args.change, "/versions", &json!({ "text": own, "reason": args.change.reason })).await
}

async fn make(change: &Change, path: &str, body: &Value) -> anyhow::Result<()> {
    let call = change.of.call(Method::POST, path).await?.json(body);
    let call = change.if_current.iter().fold(call, |call, number| call.header("if-match", format!("\"{number}\"")));
    let (made, whole): (VersionView, String) = read(call).await?;
    said(change.of.format, &whole, &format!("version {}\n", made.version.number))
}

async fn regenerate(args: RegenerateArgs) -> anyhow::Result<()> {
    let call = args.of.call(Method::POST, "/regenerate").await?.json(&json!({ "reason": args.reason }));
    let (started, whole): (longhand::Started, String) = read(call).await?;
    said(args.of.format, &whole, &format!("{}\n", started.id))
}

async fn export(args: ExportArgs) -> anyhow::Result<()> {
    let client = running_stack::connect(&args.target).await?;
    let path = format!("/v1/subjects/{}/export?format={}", args.subject, args.form);
    let file = send(client.request(Method::GET, &path)).await?.bytes().await?;
    Ok(text(std::str::from_utf8(&file)?)?)
}
