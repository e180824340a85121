//! `longhand get`: one generation's record.

use std::process::ExitCode;

use clap::Args;
use longhand::generation::Generation;
use longhand::generation::usage::TotalUsage;
use longhand_client::Reply;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::options::{Format, Target};
use crate::running_stack;
use crate::terminal::output::{Fields, json_line};
use crate::terminal::{follow, output};

/// Show one generation
#[derive(Args, Clone, Debug)]
pub struct GetArgs {
    /// The generation's id
    id: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: GetArgs) -> anyhow::Result<ExitCode> {
    let record = running_stack::connect(&args.target).await?.generation(&args.id).await?;
    print(&record, args.format)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a record; as JSON on one line, otherwise exactly as the API sent it.
pub fn print(record: &Reply<Generation>, format: Format) -> anyhow::Result<()> {
    if format.json {
        return Ok(json_line(&record.text)?);
    }
    Ok(fields(record).print()?)
}

/// The fields of a record that are printed for a person.
pub fn fields(record: &Generation) -> Fields {
    let mut fields = Fields::default();
    fields.add("generation", &record.id).add("status", follow::outcome(record));
    fields.add("provider", &record.provider).add("model", &record.model);
    fields.add("created", &record.created_at).add_if("completed", record.completed_at.as_ref());
    let progress = &record.progress;
    let deltas = output::count(progress.received_chunks, "delta");
    fields.add("received", format!("{deltas}, {} bytes", progress.received_bytes));
    fields.add("chunks", record.chunk_count.unwrap_or(progress.chunk_count));
    fields.add_if("tokens", record.usage.as_ref().map(tokens));
    fields.add_if("blob", record.compacted.as_ref()).add_if("size", record.bytes.map(size));
    fields.add_if("sha256", record.sha256.as_ref()).add_if("compacted", record.compacted_at.as_ref());
    fields.add_if("parsed", record.llm_response.as_deref().and_then(shape));
    fields.add_if("issue", record.last_validation_issue_id.as_ref());
    fields
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => output::count(bytes, "byte"),
        _ => format!("{} ({bytes} bytes)", output::size(bytes)),
    }
}

fn tokens(usage: &TotalUsage) -> String {
    format!("{} in, {} out", usage.total.input_tokens, usage.total.output_tokens)
}

fn shape(response: &RawValue) -> Option<String> {
    match serde_json::from_str(response.get()).ok()? {
        Value::Null => None,
        Value::Object(object) => Some(format!("JSON with {}", object.keys().cloned().collect::<Vec<_>>().join(", "))),
        Value::Array(array) => Some(format!("JSON array of {}", array.len())),
        other => Some(format!("JSON {other}")),
    }
}
