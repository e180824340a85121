//! What a person is told of a migration: where it writes, what it would do, what it has done.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use anyhow::Context as _;
use longhand::migrations::plan::{Plan, TOLD};
use longhand::migrations::{Change, Planned, RowChange, Verdict};
use longhand::{App, DataChange, Error, MigrationRun, UndoneMigration, Verification};
use serde_json::{Value, json};

use super::MigrationArgs;
use crate::commands::cost::prices::Prices;
use crate::terminal::output::{Fields, line, size, table};

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

/// The file that has what becomes of each unit, where one is wanted. It is written while the plan is made.
pub struct Report(Option<BufWriter<File>>);

impl Report {
    /// Begins it.
    pub fn new(args: &MigrationArgs) -> anyhow::Result<Self> {
        let Some(path) = &args.report else { return Ok(Self(None)) };
        let file = File::create(path).with_context(|| format!("the report {} cannot be written", path.display()))?;
        Ok(Self(Some(BufWriter::new(file))))
    }

    /// Adds a unit, if there is something to tell of it.
    pub fn add(&mut self, planned: &Planned) -> Result<(), Error> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let cannot = if let Verdict::Cannot(why) = &planned.verdict { Some(why) } else { None };
        if planned.findings.is_empty() && cannot.is_none() {
            return Ok(());
        }
        let told = json!({ "unit": planned.unit, "findings": planned.findings, "cannot": cannot });
        writeln!(file, "{told}").map_err(|error| Error::Configuration(format!("the report cannot be written: {error}")))
    }

    /// Ends it.
    pub fn finish(self) -> anyhow::Result<()> {
        let ended = self.0.map(|mut file| file.flush()).transpose();
        ended.map(drop).context("the report cannot be written")
    }
}

/// What it would do.
pub fn print_plan(plan: &Plan, args: &MigrationArgs) -> anyhow::Result<()> {
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
            "findings": plan.findings_by_code,
            "cannot": plan.cannot,
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
    let counts: Vec<[String; 2]> = plan.findings_by_code.iter().map(|(code, count)| [code.clone(), count.to_string()]).collect();
    if !counts.is_empty() {
        line("")?;
        table(["finding", "units"], &counts)?;
    }
    let cannot = plan.cannot.iter().map(|told| [told.unit.clone(), "cannot".to_owned(), told.why.clone()]);
    let told: Vec<[String; 3]> = cannot.chain(plan.found.iter().cloned()).take(TOLD).collect();
    let all = plan.counts.cannot + plan.findings_by_code.values().sum::<u64>();
    if !told.is_empty() {
        line("")?;
        table(["unit", "what", "detail"], &told)?;
    }
    match all.saturating_sub(told.len() as u64) {
        0 => Ok(()),
        more => Ok(line(format!("… and {more} more: --report FILE has all"))?),
    }
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
    for left in &undone.changed_since {
        eprintln!("error: {} is left as it is: {}", left.unit, left.why);
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
