//! `longhand inspect`: a generation's log as it is stored.

use std::process::ExitCode;

use clap::Args;
use longhand::clock::rfc3339;
use longhand::{GenerationId, GenerationKey, Inspection};

use crate::operator::OperatorArgs;
use crate::options::Format;
use crate::terminal::output::{Fields, count, line, table};

/// Show a generation's log as it is stored: slots, counters, lease
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// The generation's id
    id: GenerationId,
    /// Delete its buffer afterwards, if it has been compacted
    #[arg(long)]
    delete: bool,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let (app, organization) = args.operator.open().await?;
    let key = GenerationKey::new(organization, args.id);
    let inspection = app.inspect(&key).await?;
    print(&inspection, args.format)?;
    if args.delete {
        eprintln!("{} deleted", count(app.delete_buffer(&key).await?, "item"));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(inspection: &Inspection, format: Format) -> anyhow::Result<()> {
    if format.json {
        return Ok(line(serde_json::to_string(inspection)?)?);
    }
    summary(inspection).print()?;
    if inspection.slots.is_empty() {
        return Ok(line("\nthe log is empty or expired")?);
    }
    line("")?;
    let rows = inspection.slots.iter().map(|slot| {
        // The record has the day and the zone; the difference between slots is in the time.
        let at = slot.at.split_once('T').map_or("", |(_, time)| time.trim_end_matches('Z')).to_owned();
        let [seq, bytes, chunks] = [slot.seq, slot.bytes, slot.chunk_count].map(|number| number.to_string());
        let [deltas, total_bytes] = [slot.received_chunks, slot.received_bytes].map(|number| number.to_string());
        let end = slot.end.map(|status| status.as_str().to_owned()).unwrap_or_default();
        [seq, slot.events.to_string(), bytes, at, deltas, total_bytes, chunks, slot.writer.clone(), end]
    });
    let rows: Vec<_> = rows.collect();
    table(["SEQ", "EVENTS", "BYTES", "AT", "DELTAS", "TOTAL BYTES", "CHUNKS", "WRITER", "END"], &rows)?;
    Ok(())
}

fn summary(Inspection { record, meta, .. }: &Inspection) -> Fields {
    let mut fields = Fields::default();
    fields.add("generation", &record.id).add("status", record.status.as_str()).add_if("blob", record.compacted.as_ref());
    let Some(meta) = meta else {
        fields.add("lease", "none");
        return fields;
    };
    fields.add("attempt", meta.attempt).add_if("hand-overs", Some(meta.hand_overs).filter(|number| *number > 0));
    fields.add("writer", &meta.writer);
    match meta.lease_until {
        0 => fields.add("lease", "given up"),
        until => fields.add("lease until", rfc3339(until)),
    };
    // Invocations by the sweep since the newest attempt began.
    fields.add_if("sweeps", Some(meta.sweeps).filter(|number| *number > 0));
    fields
}
