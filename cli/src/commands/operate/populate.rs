//! `longhand populate`: writes the log of a compacted generation into the buffer again.

use std::process::ExitCode;

use clap::Args;
use longhand::{GenerationId, GenerationKey};

use crate::operator::OperatorArgs;
use crate::options::Format;
use crate::terminal::output::{Fields, line};

/// Write the log of a compacted generation into its buffer again, for `inspect` and `compact --delete`; safe to repeat
#[derive(Args, Clone, Debug)]
pub struct PopulateArgs {
    /// The generation's id
    id: GenerationId,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: PopulateArgs) -> anyhow::Result<ExitCode> {
    let (app, organization) = args.operator.open().await?;
    let populated = app.populate(&GenerationKey::new(organization, args.id)).await?;
    if args.format.json {
        line(serde_json::to_string(&populated)?)?;
    } else {
        let mut fields = Fields::default();
        fields.add("generation", &populated.id).add("events", populated.events).add("chunks", populated.chunk_count).print()?;
    }
    Ok(ExitCode::SUCCESS)
}
