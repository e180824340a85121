//! `longhand batches`: many generations at once, over the API.

use std::fmt::Write as _;
use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use futures::StreamExt as _;
use longhand::batches::{BatchStatus, ItemStatus, ItemView};
use longhand::limits::REQUEST_BYTES_MAX;
use longhand::quota::dollars;
use longhand::{BatchList, BatchView, ItemList, UploadView};
use longhand_client::{Client, Error, Method, RequestBuilder, StatusCode, frames, send};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::{body, flags, read, said, with_query};
use crate::options::{Format, Target};
use crate::terminal::output::{Fields, json_line, line, table, text};
use crate::{failure, running_stack};

/// How often a start is asked for whose answer was lost: the same key goes on where the last one stopped.
const STARTS_MAX: u32 = 20;
/// Before the next request, where the last one had no event.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Work with batches: many generations that are started, followed and reported as one
#[derive(Args, Clone, Debug)]
pub struct BatchesArgs {
    #[command(subcommand)]
    command: BatchesCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum BatchesCommand {
    Start(StartArgs),
    Get(OfBatch),
    List(ListArgs),
    Items(ItemsArgs),
    Tail(OfBatch),
    Resize(ResizeArgs),
    Cancel(OfBatch),
    Retry(RetryArgs),
    Results(ResultsArgs),
    Report(ReportArgs),
    Delete(OfBatch),
}

/// Start a batch from a file: the body of a request, or lines of JSON, of which the first has the fields of the batch and each other an item.
/// What is too large for a body is uploaded
#[derive(Args, Clone, Debug)]
struct StartArgs {
    /// The file; - is stdin
    #[arg(value_name = "FILE")]
    file: String,
    /// How many items are generated at once
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<u32>,
    /// Skip items whose subject has a version already
    #[arg(long)]
    only_missing: bool,
    /// A request that is repeated with the same key returns the same batch
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Follow the batch to its end, as `longhand batches tail` does
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Show a batch; `tail`: follow it to its end, and exit with 0 if every item completed or was skipped
#[derive(Args, Clone, Debug)]
struct OfBatch {
    /// The batch's id
    id: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// List batches, newest first
#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Those that have not ended, or those that have
    #[arg(long, value_name = "STATUS", value_parser = ["open", "ended"])]
    status: Option<String>,
    /// Those with this name
    #[arg(long)]
    name: Option<String>,
    /// Begin after this batch
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// List the items of a batch
#[derive(Args, Clone, Debug)]
struct ItemsArgs {
    /// Those with this status
    #[arg(long)]
    status: Option<String>,
    /// Begin after the item with this index
    #[arg(long, value_name = "INDEX")]
    after: Option<u32>,
    #[command(flatten)]
    of: OfBatch,
}

/// Change how many items are generated at once
#[derive(Args, Clone, Debug)]
struct ResizeArgs {
    /// How many
    #[arg(long, value_name = "COUNT")]
    concurrency: u32,
    #[command(flatten)]
    of: OfBatch,
}

/// Start what failed again, as a new batch
#[derive(Args, Clone, Debug)]
struct RetryArgs {
    /// Which items [default: failed]
    #[arg(long, value_name = "STATUS", value_parser = ["failed", "cancelled"])]
    only: Vec<String>,
    #[command(flatten)]
    of: OfBatch,
}

/// Print the items with their outputs, one line of JSON each
#[derive(Args, Clone, Debug)]
struct ResultsArgs {
    /// Begin after the item with this index
    #[arg(long, value_name = "INDEX")]
    after: Option<u32>,
    /// The batch's id
    id: String,
    #[command(flatten)]
    target: Target,
}

/// Print a table of the items
#[derive(Args, Clone, Debug)]
struct ReportArgs {
    /// The form of the table
    #[arg(long = "as", value_name = "FORM", value_parser = ["md", "csv"], default_value = "md")]
    form: String,
    /// The batch's id
    id: String,
    #[command(flatten)]
    target: Target,
}

pub async fn run(args: BatchesArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        BatchesCommand::Start(args) => return start(args).await,
        BatchesCommand::Tail(args) => return tail(&args).await,
        BatchesCommand::Get(args) => shown(args.format, args.call(Method::GET, "").await?).await,
        BatchesCommand::List(args) => list(args).await,
        BatchesCommand::Items(args) => items(args).await,
        BatchesCommand::Resize(args) => {
            let call = args.of.call(Method::PATCH, "").await?.json(&json!({ "concurrency": args.concurrency }));
            shown(args.of.format, call).await
        }
        BatchesCommand::Cancel(args) => shown(args.format, args.call(Method::POST, "/cancel").await?).await,
        BatchesCommand::Retry(args) => {
            let only = if args.only.is_empty() { json!({}) } else { json!({ "only": args.only }) };
            let (batch, whole): (BatchView, String) = read(args.of.call(Method::POST, "/retry").await?.json(&only)).await?;
            said(args.of.format, &whole, &format!("{}\n", batch.id))
        }
        BatchesCommand::Results(args) => results(args).await,
        BatchesCommand::Report(args) => {
            let client = running_stack::connect(&args.target).await?;
            let path = format!("/v1/batches/{}/report?format={}", args.id, args.form);
            Ok(text(&body(send(client.request(Method::GET, &path)).await?).await?)?)
        }
        BatchesCommand::Delete(args) => {
            let answer = body(send(args.call(Method::DELETE, "").await?).await?).await?;
            said(args.format, &answer, &format!("{} is deleted\n", args.id))
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

impl OfBatch {
    /// A request about the batch. No id has a character that a path escapes; another text is none, and is refused as such.
    async fn call(&self, method: Method, rest: &str) -> anyhow::Result<RequestBuilder> {
        let client = running_stack::connect(&self.target).await?;
        Ok(client.request(method, &format!("/v1/batches/{}{rest}", self.id)))
    }
}

/// The body of a start.
fn request(args: &StartArgs) -> anyhow::Result<Value> {
    let mut text = String::new();
    if args.file == "-" {
        std::io::stdin().read_to_string(&mut text).context("stdin cannot be read")?;
    } else {
        text = std::fs::read_to_string(&args.file).with_context(|| format!("{} cannot be read", args.file))?;
    }
    let mut body = from_text(&text).map_err(|error| failure::usage(format!("{}: {error}", args.file)))?;
    if let Some(concurrency) = args.concurrency {
        body["concurrency"] = concurrency.into();
    }
    if args.only_missing {
        body["only_missing"] = true.into();
    }
    Ok(body)
}

/// One value, or lines of which the first has the fields of the batch.
fn from_text(text: &str) -> Result<Value, String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let first = values.next().ok_or("is empty; expected a JSON object")?;
    let mut body = first.map_err(|error| format!("is no JSON: {error}"))?;
    let items: Result<Vec<Value>, _> = values.collect();
    let items = items.map_err(|error| format!("is no JSON: {error}"))?;
    let fields = body.as_object_mut().ok_or("must begin with a JSON object")?;
    if !items.is_empty() && fields.insert("items".to_owned(), items.into()).is_some() {
        return Err("has `items` in its first line, and lines behind it; expected one of them".to_owned());
    }
    Ok(body)
}

/// Puts the items of a body that is too large into a file, by an upload; what names that is left.
async fn upload(client: &Client, mut body: Value) -> anyhow::Result<Value> {
    let Some(Value::Array(items)) = body.as_object_mut().and_then(|fields| fields.remove("items")) else {
        return Ok(body);
    };
    let mut lines = String::new();
    for item in &items {
        // Writing into a `String` cannot fail.
        let _ = writeln!(lines, "{item}");
    }
    let new = json!({ "purpose": "batch", "bytes": lines.len() });
    let (upload, _): (UploadView, String) = read(client.request(Method::POST, "/v1/uploads").json(&new)).await?;
    eprintln!("uploading {} items, {} bytes", items.len(), lines.len());
    client.put_file(&upload.url, &upload.headers, lines.into_bytes()).await?;
    body["items_from"] = upload.id.to_string().into();
    Ok(body)
}

/// Starts a batch whose items are in a file. That may take longer than a connection without an answer: so the key that makes it one batch, which is
/// the upload's id unless the caller gives one.
async fn start_uploaded(client: &Client, body: &Value, key: Option<String>) -> anyhow::Result<(BatchView, String)> {
    let key = key.unwrap_or_else(|| body["items_from"].as_str().unwrap_or_default().to_owned());
    for _ in 1..STARTS_MAX {
        let call = client.request(Method::POST, "/v1/batches").json(body).header("idempotency-key", &key);
        match read(call).await {
            Err(error) if error.downcast_ref::<Error>().is_some_and(Error::is_transient) => sleep(RECONNECT_PAUSE).await,
            done => return done,
        }
    }
    read(client.request(Method::POST, "/v1/batches").json(body).header("idempotency-key", &key)).await
}

async fn start(args: StartArgs) -> anyhow::Result<ExitCode> {
    let body = request(&args)?;
    let client = running_stack::connect(&args.target).await?;
    let (batch, whole): (BatchView, String) = if body.to_string().len() > REQUEST_BYTES_MAX {
        start_uploaded(&client, &upload(&client, body).await?, args.idempotency_key.clone()).await?
    } else {
        let call = client.request(Method::POST, "/v1/batches").json(&body);
        read(args.idempotency_key.iter().fold(call, |call, key| call.header("idempotency-key", key))).await?
    };
    if !args.wait {
        said(args.format, &whole, &format!("{}\n", batch.id))?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("batch {}", batch.id);
    tail(&OfBatch { id: batch.id.to_string(), target: args.target, format: args.format }).await
}

/// Prints a batch.
async fn shown(format: Format, call: RequestBuilder) -> anyhow::Result<()> {
    let (batch, whole): (BatchView, String) = read(call).await?;
    if format.json {
        return Ok(json_line(&whole)?);
    }
    let mut fields = Fields::default();
    fields.add("id", &batch.id).add_if("name", batch.name.as_ref()).add("status", batch.status.name()).add("items", told(&batch));
    fields.add("percent", batch.percent).add("concurrency", batch.concurrency).add("tokens", batch.usage.total_tokens);
    fields.add("cost", dollars(batch.cost)).add("created", &batch.created_at).add_if("ended", batch.ended_at.as_ref());
    fields.add_if("retry of", batch.retry_of.as_ref());
    Ok(fields.print()?)
}

/// How many items have each status, without the zeros.
pub fn told(batch: &BatchView) -> String {
    let of = |status: ItemStatus| batch.counts.by_status.with(status);
    let told = ItemStatus::ALL.into_iter().filter(|status| of(*status) > 0);
    let told: Vec<String> = told.map(|status| format!("{} {}", of(status), status.name())).collect();
    format!("{} ({})", batch.counts.total, told.join(", "))
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let path = with_query("/v1/batches", &[("status", args.status.clone()), ("name", args.name.clone()), ("after", args.after)])?;
    let call = running_stack::connect(&args.target).await?.request(Method::GET, &path);
    let (page, whole): (BatchList, String) = read(call).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    let row = |batch: &BatchView| {
        [
            batch.id.to_string(),
            batch.status.name().to_owned(),
            told(batch),
            batch.created_at.clone(),
            batch.name.clone().unwrap_or_default(),
        ]
    };
    table(["BATCH", "STATUS", "ITEMS", "CREATED", "NAME"], &page.data.iter().map(row).collect::<Vec<_>>())?;
    if let (true, Some(last)) = (page.has_more, page.last_id) {
        let filters = flags([("status", args.status), ("name", args.name)]);
        eprintln!("more: longhand batches list --after {last}{filters}{}", args.target.as_flags());
    }
    Ok(())
}

async fn items(args: ItemsArgs) -> anyhow::Result<()> {
    let after = args.after.map(|after| after.to_string());
    let path = with_query("/items", &[("limit", Some("1000".to_owned())), ("status", args.status.clone()), ("after", after)])?;
    let (page, whole): (ItemList, String) = read(args.of.call(Method::GET, &path).await?).await?;
    if args.of.format.json {
        return Ok(json_line(&whole)?);
    }
    table(["#", "ITEM", "STATUS", "TRIES", "GENERATION", "ERROR"], &page.data.iter().map(item_row).collect::<Vec<_>>())?;
    if let (true, Some(last)) = (page.has_more, page.last_index) {
        let filters = flags([("status", args.status)]);
        eprintln!("more: longhand batches items {} --after {last}{filters}{}", args.of.id, args.of.target.as_flags());
    }
    Ok(())
}

fn item_row(item: &ItemView) -> [String; 6] {
    let generation = item.generation.as_ref().map(ToString::to_string).unwrap_or_default();
    let error = item.error.as_ref().map(|error| error.code.clone()).unwrap_or_default();
    [item.index.to_string(), name_of(item), item.status.name().to_owned(), item.tries.to_string(), generation, error]
}

fn name_of(item: &ItemView) -> String {
    let subject = || item.subject.as_ref().map(ToString::to_string);
    item.custom_id.clone().or_else(subject).unwrap_or_else(|| format!("item {}", item.index))
}

async fn results(args: ResultsArgs) -> anyhow::Result<()> {
    let client = running_stack::connect(&args.target).await?;
    let after = args.after.map(|after| after.to_string());
    let path = with_query(&format!("/v1/batches/{}/results", args.id), &[("after", after)])?;
    let mut lines = send(client.request(Method::GET, &path)).await?;
    let mut rest = Vec::new();
    // Whole lines alone are printed, so that what breaks off leaves no half of one.
    while let Some(part) = lines.chunk().await? {
        rest.extend_from_slice(&part);
        if let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') {
            let whole: Vec<u8> = rest.drain(..=end).collect();
            text(std::str::from_utf8(&whole)?)?;
        }
    }
    Ok(())
}

/// Prints what happens in a batch until it has ended.
async fn tail(args: &OfBatch) -> anyhow::Result<ExitCode> {
    let follow = async {
        let mut after = None;
        loop {
            let client = running_stack::connect(&args.target).await?;
            match follow(&client, &args.id, args.format, &mut after).await {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => {}
                Err(error) if error.downcast_ref::<Error>().is_some_and(Error::is_transient) => {}
                Err(error) => return Err(error),
            }
            sleep(RECONNECT_PAUSE).await;
        }
    };
    let ended: BatchView = tokio::select! {
        ended = follow => ended?,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\nto continue: longhand batches tail {}{}", args.id, args.target.as_flags());
            return Ok(failure::interrupted());
        }
    };
    if !args.format.json {
        line(format!("{}: {}, {}", ended.status.name(), told(&ended), dollars(ended.cost)))?;
    }
    let counts = ended.counts.by_status;
    let is_whole = ended.status == BatchStatus::Completed && counts.completed + counts.skipped == ended.counts.total;
    Ok(if is_whole { ExitCode::SUCCESS } else { failure::not_completed() })
}

/// Prints the events of one connection behind the revision `after`, which it keeps up; returns the batch if it has ended.
pub async fn follow(client: &Client, id: &str, format: Format, after: &mut Option<u64>) -> anyhow::Result<Option<BatchView>> {
    let path = with_query(&format!("/v1/batches/{id}/events"), &[("after", after.map(|after| after.to_string()))])?;
    let call = client.request(Method::GET, &path).header("accept", "text/event-stream");
    let answer = send(call).await?;
    if answer.status() == StatusCode::NO_CONTENT {
        let (batch, _) = read(client.request(Method::GET, &format!("/v1/batches/{id}"))).await?;
        return Ok(Some(batch));
    }
    let mut frames = frames(answer);
    while let Some(frame) = frames.next().await {
        let frame = frame?;
        let (Some(name), Some(data)) = (frame.event, frame.data) else { continue };
        if format.json {
            json_line(&data)?;
        }
        match name.as_str() {
            "item" if !format.json => {
                let item: ItemView = serde_json::from_str(&data)?;
                let why = item.error.as_ref().filter(|_| item.status == ItemStatus::Failed);
                let why = why.map(|error| format!(": {}", error.message)).unwrap_or_default();
                line(format!("{}  {}{why}", name_of(&item), item.status.name()))?;
            }
            "completed" | "cancelled" | "failed" => return Ok(Some(serde_json::from_str(&data)?)),
            _ => {}
        }
        // Behind the event: one that is cut off before its number is told again.
        *after = frame.id.and_then(|id| id.parse().ok()).or(*after);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_one_object_or_lines() {
        let lines = from_text("{\"name\":\"n\"}\n{\"custom_id\":\"a\"}\n\n{\"custom_id\":\"b\"}\n").unwrap();
        assert_eq!(lines, json!({ "name": "n", "items": [{ "custom_id": "a" }, { "custom_id": "b" }] }));
        assert_eq!(from_text("{\"items\":[{}]}").unwrap(), json!({ "items": [{}] }));
        for wrong in ["", "[]", "{", "{\"items\":[]} {}", "{} x"] {
            from_text(wrong).unwrap_err();
        }
    }
}
