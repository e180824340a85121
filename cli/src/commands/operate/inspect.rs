//! `longhand inspect`: a generation's log as it is stored.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::operator::OperatorArgs;
use crate::options::Format;
use crate::product::{self, GenerationId, GenerationKey, rfc3339};
use crate::terminal::output::{Fields, line, plain, table};

/// Show a generation's log as it is stored: slots, counters, lease
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// The generation's id
    id: GenerationId,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let (app, organization) = args.operator.open().await?;
    let inspection = product::inspect(&app, &GenerationKey::new(organization, args.id.clone())).await?;
    if args.format.json {
        line(&inspection)?;
        return Ok(ExitCode::SUCCESS);
    }
    summary(&args.id, &inspection).print()?;
    let slots: &[Value] = inspection["slots"].as_array().map_or(&[], Vec::as_slice);
    if slots.is_empty() {
        line("\nthe log is empty, or its time is over")?;
        return Ok(ExitCode::SUCCESS);
    }
    line("")?;
    let rows: Vec<_> = slots.iter().map(row).collect();
    table(["SEQ", "EVENTS", "BYTES", "AT", "DELTAS", "TOTAL BYTES", "CHUNKS", "WRITER", "END"], &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn summary(id: &GenerationId, inspection: &Value) -> Fields {
    let mut fields = Fields::default();
    let (meta, record) = (&inspection["meta"], &inspection["record"]);
    fields.add("generation", id).add("status", plain(&record["status"]).unwrap_or_else(|| "no record".to_owned()));
    fields.add_if("blob", plain(&record["compacted"]));
    for (name, key) in [("attempt", "attempt"), ("hand-overs", "hand_overs"), ("writer", "writer")] {
        fields.add_if(name, plain(&meta[key]));
    }
    match meta["lease_until"].as_i64() {
        None => fields.add("lease", "none"),
        Some(0) => fields.add("lease", "given up"),
        Some(until) => fields.add("lease until", rfc3339(until)),
    };
    // It has been invoked again so often since the newest attempt began.
    fields.add_if("sweeps", plain(&meta["sweeps"]).filter(|sweeps| sweeps != "0"));
    fields
}

fn row(slot: &Value) -> [String; 9] {
    let word = |name: &str| plain(&slot[name]).unwrap_or_default();
    // The day and the zone are the record's; between slots it is the time that tells.
    let at =
        word("at").chars().skip_while(|character| *character != 'T').skip(1).take_while(|character| *character != 'Z').collect();
    let [received_chunks, received_bytes, chunk_count] = ["received_chunks", "received_bytes", "chunk_count"].map(word);
    [word("seq"), word("events"), word("bytes"), at, received_chunks, received_bytes, chunk_count, word("writer"), word("end")]
}
