//! `longhand entities`: what imports have made, listed, exported, edited and decided over the API.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use longhand::entities::{EntityView, State};
use longhand::imports::ImportView;
use longhand::{Decided, EntityId, EntityList, ImportId, SubjectId};
use longhand_client::{Client, Method, send};
use serde_json::{Map, Value, json};

use crate::api::{flags, read, said, with_query};
use crate::options::{Format, Target};
use crate::terminal::output::{json_line, table, text};
use crate::{failure, running_stack};

/// Entities of one page of an export.
const PAGE: usize = 1_000;

/// Work with entities: list, export, edit, approve, reject, archive, promote, revert
#[derive(Args, Clone, Debug)]
pub struct EntitiesArgs {
    #[command(subcommand)]
    command: EntitiesCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum EntitiesCommand {
    List(ListArgs),
    Export(ExportArgs),
    Edit(EditArgs),
    /// Approve entities
    Approve(DecideArgs),
    /// Reject entities
    Reject(DecideArgs),
    /// Put approved entities aside
    Archive(DecideArgs),
    Promote(PromoteArgs),
    Revert(RevertArgs),
}

/// List the entities of a subject
#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// The subject
    subject: SubjectId,
    /// Those in this state [default: all but the reverted ones]
    #[arg(long)]
    state: Option<State>,
    /// Those of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Begin after this entity
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Print all entities of a subject, in one file
#[derive(Args, Clone, Debug)]
struct ExportArgs {
    /// The form of the file
    #[arg(long = "as", value_name = "FORM", value_parser = ["ndjson", "csv"], default_value = "ndjson")]
    form: String,
    /// The subject
    subject: SubjectId,
    /// Those in this state [default: all but the reverted ones]
    #[arg(long)]
    state: Option<State>,
    #[command(flatten)]
    target: Target,
}

/// Edit an entity that incubates
#[derive(Args, Clone, Debug)]
struct EditArgs {
    /// The subject
    subject: SubjectId,
    /// The entity's id
    id: EntityId,
    /// The new name
    #[arg(long)]
    name: Option<String>,
    /// A field and its value as JSON, or as text; `null` removes it; repeat for more
    #[arg(long = "field", value_name = "NAME=VALUE")]
    fields: Vec<String>,
    /// Only if it has this revision
    #[arg(long, value_name = "NUMBER")]
    if_revision: Option<u64>,
    /// Why
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Clone, Debug)]
struct DecideArgs {
    /// The subject
    subject: SubjectId,
    /// The entities' ids
    #[arg(required_unless_present = "all")]
    ids: Vec<EntityId>,
    /// All to which it can be done
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// With `--all`, those of this kind
    #[arg(long, requires = "all")]
    kind: Option<String>,
    /// Of an approval, those that they belong to, too; otherwise what belongs to them
    #[arg(long)]
    cascade: bool,
    /// Why
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Approve an entity with all that belongs to it
#[derive(Args, Clone, Debug)]
struct PromoteArgs {
    /// The subject
    subject: SubjectId,
    /// The entity's id
    id: EntityId,
    /// Why
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Take back what an import has made and nobody has decided
#[derive(Args, Clone, Debug)]
struct RevertArgs {
    /// The subject
    subject: SubjectId,
    /// The import's id
    import: ImportId,
    /// Why
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: EntitiesArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        EntitiesCommand::List(args) => list(args).await?,
        EntitiesCommand::Export(args) => export(args).await?,
        EntitiesCommand::Edit(args) => edit(args).await?,
        EntitiesCommand::Approve(args) => return decide("approve", args).await,
        EntitiesCommand::Reject(args) => return decide("reject", args).await,
        EntitiesCommand::Archive(args) => return decide("archive", args).await,
        EntitiesCommand::Promote(args) => {
            let client = running_stack::connect(&args.target).await?;
            let path = format!("/v1/subjects/{}/entities/{}/promote", args.subject, args.id);
            return decided(&client, &path, &json!({ "note": args.note }), args.format).await;
        }
        EntitiesCommand::Revert(args) => {
            let client = running_stack::connect(&args.target).await?;
            let path = format!("/v1/subjects/{}/imports/{}/revert", args.subject, args.import);
            let call = client.request(Method::POST, &path).json(&json!({ "note": args.note }));
            let (import, whole): (ImportView, String) = read(call).await?;
            said(args.format, &whole, &format!("{} is reverted\n", import.id))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let pairs = [
        ("state", args.state.map(|state| state.to_string())),
        ("kind", args.kind.clone()),
        ("after", args.after),
        ("limit", Some("100".to_owned())),
    ];
    let path = with_query(&format!("/v1/subjects/{}/entities", args.subject), &pairs)?;
    let (page, whole): (EntityList, String) =
        read(running_stack::connect(&args.target).await?.request(Method::GET, &path)).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    let row = |entity: EntityView| [entity.id.to_string(), entity.kind, entity.state.to_string(), entity.updated_at, entity.name];
    let rows: Vec<[String; 5]> = page.data.into_iter().map(row).collect();
    table(["ENTITY", "KIND", "STATE", "UPDATED", "NAME"], &rows)?;
    if let (true, Some(last)) = (page.has_more, page.last_id) {
        let filters = flags([("state", args.state.map(|state| state.to_string())), ("kind", args.kind)]);
        eprintln!("more: longhand entities list {} --after {last}{filters}{}", args.subject, args.target.as_flags());
    }
    Ok(())
}

async fn export(args: ExportArgs) -> anyhow::Result<()> {
    let client = running_stack::connect(&args.target).await?;
    let mut after: Option<String> = None;
    loop {
        let pairs = [
            ("format", Some(args.form.clone())),
            ("state", args.state.map(|state| state.to_string())),
            ("limit", Some(PAGE.to_string())),
            ("after", after.clone()),
        ];
        let path = with_query(&format!("/v1/subjects/{}/entities", args.subject), &pairs)?;
        let answer = send(client.request(Method::GET, &path)).await?;
        let next = answer.headers().get("longhand-next-after").and_then(|next| next.to_str().ok()).map(str::to_owned);
        let file = answer.bytes().await?;
        let file = std::str::from_utf8(&file)?;
        // The head of a table stands once.
        let is_later_table = args.form == "csv" && after.is_some();
        text(if is_later_table { file.split_once("\r\n").map_or("", |(_, rest)| rest) } else { file })?;
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

async fn edit(args: EditArgs) -> anyhow::Result<()> {
    let mut fields = Map::new();
    for field in &args.fields {
        let wrong = || failure::usage(format!("--field must be NAME=VALUE, not {field:?}"));
        let (name, value) = field.split_once('=').ok_or_else(wrong)?;
        fields.insert(name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)));
    }
    let mut body = json!({ "fields": fields, "note": args.note });
    if let Some(name) = args.name {
        body["name"] = name.into();
    }
    let client = running_stack::connect(&args.target).await?;
    let call = client.request(Method::PATCH, &format!("/v1/subjects/{}/entities/{}", args.subject, args.id)).json(&body);
    let call = args.if_revision.iter().fold(call, |call, number| call.header("if-match", format!("\"{number}\"")));
    let (entity, whole): (EntityView, String) = read(call).await?;
    said(args.format, &whole, &format!("{} has the revision {}\n", entity.id, entity.revision))
}

async fn decide(act: &str, args: DecideArgs) -> anyhow::Result<ExitCode> {
    let mut body = json!({ "cascade": args.cascade, "note": args.note });
    if args.all {
        body["all"] = true.into();
        if let Some(kind) = args.kind {
            body["kind"] = kind.into();
        }
    } else {
        body["items"] = args.ids.iter().map(|id| json!({ "id": id })).collect();
    }
    let client = running_stack::connect(&args.target).await?;
    decided(&client, &format!("/v1/subjects/{}/entities/{act}", args.subject), &body, args.format).await
}

/// Sends a decision. What was refused is printed, and the command fails then.
async fn decided(client: &Client, path: &str, body: &Value, format: Format) -> anyhow::Result<ExitCode> {
    let (decided, whole): (Decided, String) = read(client.request(Method::POST, path).json(body)).await?;
    let mut words = String::new();
    for (count, done) in
        [(decided.approved_count, "approved"), (decided.rejected_count, "rejected"), (decided.archived_count, "archived")]
    {
        if count > 0 {
            writeln!(words, "{count} {done}")?;
        }
    }
    writeln!(words, "{} incubate", decided.remaining_incubated)?;
    said(format, &whole, &words)?;
    if decided.has_more {
        eprintln!("more: the same command goes on with the others");
    }
    for item in decided.results.iter().filter(|item| !item.ok) {
        let reason = serde_json::to_value(item.reason)?;
        eprintln!("{}: {}", item.id, reason.as_str().unwrap_or_default());
    }
    Ok(if decided.success { ExitCode::SUCCESS } else { failure::failed() })
}
