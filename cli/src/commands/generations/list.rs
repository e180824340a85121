//! `longhand list`: the newest generations.

use std::process::ExitCode;

use clap::Args;
use longhand::generation::Generation;

use crate::options::{Format, Target};
use crate::running_stack;
use crate::terminal::output::{self, raw, table};

/// List generations
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// How many generations
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
    let page = running_stack::connect(&args.target).await?.list(args.limit, args.after.as_deref()).await?;
    if args.format.json {
        raw(&format!("{}\n", page.text.trim_end()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if page.data.is_empty() {
        eprintln!("no generations");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = page.data.iter().map(row).collect();
    table(["GENERATION", "STATUS", "CREATED", "SIZE", "PROVIDER", "MODEL"], &rows)?;
    if let (true, Some(last)) = (page.has_more, &page.last_id) {
        eprintln!("more: longhand list --after {last}");
    }
    Ok(ExitCode::SUCCESS)
}

fn row(record: &Generation) -> [String; 6] {
    let bytes = record.bytes.unwrap_or(record.progress.received_bytes);
    let (id, status, created) = (record.id.to_string(), record.status.as_str().to_owned(), record.created_at.clone());
    [id, status, created, output::size(bytes), record.provider.clone(), record.model.clone()]
}
