//! `longhand compact`: puts a generation's result away, by hand.

use std::process::ExitCode;

use clap::Args;

use crate::operator::OperatorArgs;
use crate::options::Format;
use crate::product::{self, GenerationId, GenerationKey};
use crate::terminal::output::{Fields, line, plain};

/// Compact a generation now; safe to repeat
#[derive(Args, Clone, Debug)]
pub struct CompactArgs {
    /// The generation's id
    id: GenerationId,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: CompactArgs) -> anyhow::Result<ExitCode> {
    let (app, organization) = args.operator.open().await?;
    let compaction = product::compact(&app, &GenerationKey::new(organization, args.id.clone())).await?;
    match compaction.as_object() {
        Some(entries) if !args.format.json => {
            let width = entries.keys().map(String::len).max().unwrap_or(0);
            for (name, value) in entries.iter().filter_map(|(name, value)| Some((name, plain(value)?))) {
                line(format!("{name:width$}  {value}"))?;
            }
        }
        Some(_) => line(&compaction)?,
        None => Fields::default().add("generation", &args.id).add("result", &compaction).print()?,
    }
    Ok(ExitCode::SUCCESS)
}
