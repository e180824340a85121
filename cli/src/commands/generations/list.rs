//! `longhand list`: the newest generations.

use std::process::ExitCode;

use clap::Args;
use longhand::generation::Generation;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::options::{Format, Target, key_value};
use crate::running_stack;
use crate::terminal::output::{self, json_line, table};

/// List generations
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// How many generations
    #[arg(long)]
    limit: Option<usize>,
    /// Begin after this generation's id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// Those with this status
    #[arg(long, value_parser = ["pending", "running", "completed", "incomplete", "failed", "cancelled"])]
    status: Option<String>,
    /// Those of this provider
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Those of this model
    #[arg(long)]
    model: Option<String>,
    /// Those about this subject
    #[arg(long)]
    subject: Option<String>,
    /// Those created at this time or later, such as 2026-11-21T09:30:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those created before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Those whose request had this entry in its metadata; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, String)>,
    /// Oldest first
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

impl ListArgs {
    /// The flags that select the same, without `--after`.
    fn flags(&self) -> String {
        let parameters = self.parameters().into_iter().filter(|(name, _)| *name != "after" && *name != "order");
        let mut flags: Vec<String> = parameters.map(|(name, value)| format!(" --{name} {value}")).collect();
        flags.extend(self.metadata.iter().map(|(name, value)| format!(" --metadata {name}={value}")));
        flags.extend(self.oldest_first.then(|| " --oldest-first".to_owned()));
        flags.concat()
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("after", &self.after),
            ("status", &self.status),
            ("provider", &self.provider),
            ("model", &self.model),
            ("subject", &self.subject),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let texts = texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let limit = self.limit.map(|limit| ("limit", limit.to_string()));
        let order = self.oldest_first.then(|| ("order", "asc".to_owned()));
        texts.chain(limit).chain(order).collect()
    }
}

pub async fn run(args: ListArgs) -> anyhow::Result<ExitCode> {
    let entries: Vec<(String, String)> =
        args.metadata.iter().map(|(name, value)| (format!("metadata.{name}"), value.clone())).collect();
    let mut parameters = args.parameters();
    parameters.extend(entries.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let page = running_stack::connect(&args.target).await?.list_by(&parameters).await?;
    if args.format.json {
        let Records { data } = serde_json::from_str(&page.text)?;
        data.iter().try_for_each(|record| json_line(record.get()))?;
    } else if page.data.is_empty() {
        let scanned = if page.scanned > 0 { format!(" among {} looked at", page.scanned) } else { String::new() };
        eprintln!("no generations{scanned}");
    } else {
        let rows: Vec<_> = page.data.iter().map(row).collect();
        table(["GENERATION", "STATUS", "CREATED", "SIZE", "PROVIDER", "MODEL"], &rows)?;
    }
    if let (true, Some(last)) = (page.has_more, &page.last_id) {
        eprintln!("more: longhand list --after {last}{}{}", args.flags(), args.target.as_flags());
    }
    Ok(ExitCode::SUCCESS)
}

/// The records of a page, exactly as the API sent them.
#[derive(Deserialize)]
struct Records {
    data: Vec<Box<RawValue>>,
}

fn row(record: &Generation) -> [String; 6] {
    let bytes = record.bytes.unwrap_or(record.progress.received_bytes);
    let (id, status, created) = (record.id.to_string(), record.status.as_str().to_owned(), record.created_at.clone());
    [id, status, created, output::size(bytes), record.provider.clone(), record.model.clone()]
}
