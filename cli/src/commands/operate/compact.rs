//! `longhand compact`: compacts a generation by hand.

use std::process::ExitCode;

use clap::Args;
use longhand::{Compaction, GenerationId, GenerationKey};

use crate::operator::OperatorArgs;
use crate::options::Format;
use crate::terminal::output::{Fields, count, line};

/// Compact a generation now; safe to repeat
#[derive(Args, Clone, Debug)]
pub struct CompactArgs {
    /// The generation's id
    id: GenerationId,
    /// Delete its buffer afterwards: the log and its meta item, which the bucket has
    #[arg(long)]
    delete: bool,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: CompactArgs) -> anyhow::Result<ExitCode> {
    let (app, organization) = args.operator.open().await?;
    let key = GenerationKey::new(organization, args.id);
    let compaction = app.compact(&key, "longhand compact").await?;
    if args.delete {
        eprintln!("{} deleted", count(app.delete_buffer(&key).await?, "item"));
    }
    if args.format.json {
        line(serde_json::to_string(&compaction)?)?;
    } else {
        fields(&compaction).print()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn fields(compaction: &Compaction) -> Fields {
    let mut fields = Fields::default();
    fields.add("id", &compaction.id).add("status", compaction.status.as_str());
    fields.add_if("compacted", compaction.compacted.as_ref());
    fields.add("chunk_count", compaction.chunk_count).add("bytes", compaction.bytes);
    fields.add_if("sha256", compaction.sha256.as_ref());
    fields.add_if("last_validation_issue_id", compaction.last_validation_issue_id.as_ref());
    fields.add("was_compacted", compaction.was_compacted);
    fields
}
