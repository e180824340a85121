//! What a person is told of a migration: where it writes, what it would do, what it has done.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;

use anyhow::Context as _;
use longhand::migrations::plan::Plan;
use longhand::migrations::{Change, RowChange};
use longhand::{App, DataChange, MigrationRun, UndoneMigration, Verification};
use serde_json::{Value, json};

use super::MigrationArgs;
use crate::commands::cost::prices::Prices;
use crate::terminal::output::{Fields, line, size, table};

/// Findings and refusals that are printed; `--report` has all.
const PRINTED: usize = 40;
/// Characters of a value in a sample.
const VALUE_CHARS: usize = 100;
/// The price list of the estimate.
const REGION: &str = "us-east-1";

/// Where it writes, before anything else.
pub async fn print_place(app: &App, args: &MigrationArgs, change: &dyn DataChange) -> anyhow::Result<()> {
    let facts = app.table_facts().await?;
    let stack = if args.deployment.aws {
        "the deployment that the environment names".to_owned()
    } else {
        format!("the stack on {}", args.deployment.folder.data.display())
    };
    let mut fields = Fields::default();
    fields.add("account", facts.account()).add("region", facts.region()).add("stack", stack);
    fields.add("table", &app.config().records_table).add_if("rows", facts.rows).add("bucket", &app.config().bucket);
    fields.add("migration", change.name()).add("about", change.about());
    fields.print_to_stderr();
    Ok(())
}

/// What it would do.
pub fn print_plan(plan: &Plan, args: &MigrationArgs) -> anyhow::Result<()> {
    if let Some(path) = &args.report {
        let mut file = File::create(path).with_context(|| format!("the report {} cannot be written", path.display()))?;
        let cannot: BTreeMap<&String, &String> = plan.cannot.iter().map(|(unit, why)| (unit, why)).collect();
        let units = plan.findings.keys().chain(cannot.keys().copied()).collect::<std::collections::BTreeSet<_>>();
        for unit in units {
            let findings = plan.findings.get(unit).cloned().unwrap_or_default();
            writeln!(file, "{}", json!({ "unit": unit, "findings": findings, "cannot": cannot.get(unit) }))?;
        }
    }
    let prices = Prices::of(REGION, &[])?;
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let (units, puts) = (plan.write_units as f64, plan.objects as f64);
    let cost = prices.get("dynamodb-write")?.of(units) + prices.get("s3-put")?.of(puts);
    let seconds = plan.write_units.div_ceil(args.write_units_per_second.into());
    if args.format.json {
        return Ok(line(json!({
            "plan": plan.hash(),
            "counts": plan.counts,
            "rows": plan.rows,
            "objects": plan.objects,
            "object_bytes": plan.object_bytes,
            "write_units": plan.write_units,
            "dollars": cost,
            "findings": plan.findings_by_code(),
            "cannot": plan.cannot.iter().map(|(unit, why)| json!({ "unit": unit, "why": why })).collect::<Vec<_>>(),
        }))?);
    }
    let mut fields = Fields::default();
    fields
        .add("would change", plan.counts.changed)
        .add("already right", plan.counts.already_right)
        .add("cannot", plan.counts.cannot);
    fields.add("rows", plan.rows).add("objects", format!("{}, {}", plan.objects, size(plan.object_bytes)));
    fields.add("write units", format!("about {}, {seconds} s at {} a second", plan.write_units, args.write_units_per_second));
    fields.add("cost", format!("about ${cost:.4} ({REGION})")).add("plan", plan.hash());
    fields.print()?;
    print_samples(&plan.samples)?;
    print_findings(plan)
}

fn print_samples(samples: &[Change]) -> anyhow::Result<()> {
    for change in samples {
        line(format!("\n@@ {} @@", change.unit))?;
        for row in &change.rows {
            print_row(row)?;
        }
        for object in change.new_objects() {
            line(format!(
                "+ object {}  {}  {}",
                object.object,
                size(object.bytes),
                &object.sha256[..12.min(object.sha256.len())]
            ))?;
        }
    }
    Ok(())
}

fn print_row(row: &RowChange) -> anyhow::Result<()> {
    line(format!("{} {}", if row.is_new { "+ row" } else { "  row" }, row.key))?;
    for (name, change) in &row.attributes {
        for (sign, value) in [("-", &change.before), ("+", &change.after)] {
            if let Some(value) = value {
                let text = serde_json::to_string(value)?;
                let shown: String = text.chars().take(VALUE_CHARS).collect();
                let more = if shown.len() < text.len() { " …" } else { "" };
                line(format!("  {sign} {name}: {shown}{more}"))?;
            }
        }
    }
    Ok(())
}

fn print_findings(plan: &Plan) -> anyhow::Result<()> {
    let counts: Vec<[String; 2]> =
        plan.findings_by_code().into_iter().map(|(code, count)| [code.to_owned(), count.to_string()]).collect();
    if !counts.is_empty() {
        line("")?;
        table(["finding", "units"], &counts)?;
    }
    let cannot = plan.cannot.iter().map(|(unit, why)| [unit.clone(), "cannot".to_owned(), why.clone()]);
    let found = plan.findings.iter().flat_map(|(unit, findings)| {
        findings.iter().map(move |finding| [unit.clone(), finding.code.clone(), finding.detail.clone()])
    });
    let all: Vec<[String; 3]> = cannot.chain(found).collect();
    if !all.is_empty() {
        line("")?;
        table(["unit", "what", "detail"], &all[..all.len().min(PRINTED)])?;
    }
    if all.len() > PRINTED {
        line(format!("… and {} more: --report FILE has all", all.len() - PRINTED))?;
    }
    Ok(())
}

/// What it has done.
pub fn print_run(run: &MigrationRun, args: &MigrationArgs) -> anyhow::Result<()> {
    if args.format.json {
        return Ok(line(
            json!({ "run": run.id, "status": run.row.status, "counts": run.row.counts, "refused": run.row.refused, "write_units": run.write_units }),
        )?);
    }
    let mut fields = Fields::default();
    fields.add("run", &run.id).add("changed", run.row.counts.changed);
    fields.add("already right", run.row.counts.already_right).add("cannot", run.row.counts.cannot);
    fields.add("write units", run.write_units);
    fields.print()?;
    for refused in &run.row.refused {
        eprintln!("error: {refused}");
    }
    Ok(())
}

/// Whether everything is as it should be.
pub fn print_verification(verification: &Verification, args: &MigrationArgs) -> anyhow::Result<()> {
    for wrong in &verification.wrong {
        eprintln!("error: {wrong}");
    }
    let rows: Vec<[String; 5]> = verification
        .counts
        .iter()
        .map(|(one, of_one, other, of_other)| {
            let verdict = if of_one == of_other { "agrees" } else { "DIFFERS" };
            [one.clone(), of_one.to_string(), other.clone(), of_other.to_string(), verdict.to_owned()]
        })
        .collect();
    if args.format.json {
        let counts: Vec<Value> = verification
            .counts
            .iter()
            .map(|(one, of_one, other, of_other)| json!({ "expected": one, "count": of_one, "found": other, "found_count": of_other }))
            .collect();
        return Ok(line(json!({ "verified": verification.agrees(), "counts": counts }))?);
    }
    Ok(table(["expected", "count", "found", "count", ""], &rows)?)
}

/// What an undo has done.
pub fn print_undone(undone: &UndoneMigration, args: &MigrationArgs) -> anyhow::Result<()> {
    for unit in &undone.changed_since {
        eprintln!("error: {unit} was changed since, and is left as it is");
    }
    if args.format.json {
        return Ok(line(json!({
            "undone": undone.undone,
            "not_written": undone.not_written,
            "changed_since": undone.changed_since,
            "objects": undone.objects,
        }))?);
    }
    let mut fields = Fields::default();
    fields.add("undone", undone.undone).add("not written", undone.not_written).add("objects deleted", undone.objects);
    fields.add("changed since", undone.changed_since.len());
    Ok(fields.print()?)
}
