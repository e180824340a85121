//! `longhand list`: the newest generations.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::options::{Format, Target};
use crate::place;
use crate::terminal::output::{self, plain, raw, table};

/// List generations
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// How many
    #[arg(long)]
    limit: Option<usize>,
    /// Begin after this generation's id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: ListArgs) -> anyhow::Result<ExitCode> {
    let page = place::api(&args.target).await?.list(args.limit, args.after.as_deref()).await?;
    if args.format.json {
        raw(&format!("{}\n", page.text.trim_end()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = page.value["data"].as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        eprintln!("no generations");
        return Ok(ExitCode::SUCCESS);
    }
    table(["GENERATION", "STATUS", "CREATED", "SIZE", "PROVIDER", "MODEL"], &rows)?;
    if let (Some(true), Some(last)) = (page.value["has_more"].as_bool(), page.value["last_id"].as_str()) {
        eprintln!("more: longhand list --after {last}");
    }
    Ok(ExitCode::SUCCESS)
}

fn row(record: &Value) -> [String; 6] {
    let word = |name: &str| plain(&record[name]).unwrap_or_default();
    let bytes = record["bytes"].as_u64().or_else(|| record["progress"]["received_bytes"].as_u64());
    let size = bytes.map(output::size).unwrap_or_default();
    [word("id"), word("status"), word("created_at"), size, word("provider"), word("model")]
}
