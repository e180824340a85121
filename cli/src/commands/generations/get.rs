//! `longhand get`: one generation's record.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::api::Reply;
use crate::options::{Format, Target};
use crate::place;
use crate::terminal::output::{Fields, plain, raw};
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
    let record = place::api(&args.target).await?.generation(&args.id).await?;
    print(&record, args.format)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a record, as JSON exactly as the API sent it.
pub fn print(record: &Reply, format: Format) -> anyhow::Result<()> {
    if format.json {
        return Ok(raw(&format!("{}\n", record.text.trim_end()))?);
    }
    Ok(fields(&record.value).print()?)
}

/// What a person wants to know of a record.
pub fn fields(record: &Value) -> Fields {
    let mut fields = Fields::default();
    let word = |name: &str| plain(&record[name]);
    fields.add_if("generation", word("id")).add("status", follow::outcome(record));
    fields.add_if("provider", word("provider")).add_if("model", word("model"));
    fields.add_if("created", word("created_at")).add_if("completed", word("completed_at"));
    let number = |name: &str| record["progress"][name].as_u64();
    let received = number("received_chunks").zip(number("received_bytes"));
    fields.add_if("received", received.map(|(deltas, bytes)| format!("{}, {bytes} bytes", output::count(deltas, "delta"))));
    fields.add_if("chunks", plain(&record["chunk_count"]).or_else(|| plain(&record["progress"]["chunk_count"])));
    fields.add_if("tokens", tokens(&record["usage"]));
    fields.add_if("blob", word("compacted")).add_if("size", record["bytes"].as_u64().map(size));
    fields.add_if("sha256", word("sha256")).add_if("compacted", word("compacted_at"));
    fields.add_if("parsed", shape(&record["llm_response"])).add_if("issue", word("last_validation_issue_id"));
    fields
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => output::count(bytes, "byte"),
        _ => format!("{} ({bytes} bytes)", output::size(bytes)),
    }
}

/// Tokens in the words of either OpenAI API.
fn tokens(usage: &Value) -> Option<String> {
    let number = |names: [&str; 2]| names.into_iter().find_map(|name| usage.get(name)?.as_u64());
    let input = number(["input_tokens", "prompt_tokens"])?;
    let output = number(["output_tokens", "completion_tokens"])?;
    Some(format!("{input} in, {output} out"))
}

fn shape(response: &Value) -> Option<String> {
    match response {
        Value::Null => None,
        Value::Object(object) => Some(format!("JSON with {}", object.keys().cloned().collect::<Vec<_>>().join(", "))),
        Value::Array(array) => Some(format!("JSON array of {}", array.len())),
        other => Some(format!("JSON {other}")),
    }
}
