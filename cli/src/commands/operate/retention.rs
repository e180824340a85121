//! `longhand retention`: reports and removes data that is past its retention window.

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use longhand::subjects::retention::VersionRules;
use longhand::{App, Error, GenerationId, Organization, RetentionRules};
use serde_json::json;

use crate::failure;
use crate::operator::{DeploymentArgs, parse_organization};
use crate::options::Format;
use crate::terminal::output::{count, line};

/// Report or remove data past its window: generations that ended long ago, and what a crash left over
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("what").required(true).args(["dry_run", "apply"]))]
pub struct RetentionArgs {
    /// Only report what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Remove it. The bucket keeps old versions of objects for 30 more days
    #[arg(long)]
    apply: bool,
    /// Days that a generation is kept after its end [default: `LONGHAND_RETENTION_DAYS`; without it, for ever]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
    /// Look for rows without a record as well; this reads the whole table
    #[arg(long)]
    rows: bool,
    /// Versions of subjects, in place of generations: those older than `--days` [default: 90], but for the last, the first, and those with labels
    #[arg(long)]
    subjects: bool,
    /// Batches, in place of generations: those that ended more than `--days` ago [default: `LONGHAND_BATCH_RETENTION_DAYS`], with their items
    #[arg(long, conflicts_with_all = ["subjects", "rows"])]
    batches: bool,
    /// Runs, in place of generations: those that ended more than `--days` ago [default: `LONGHAND_RETENTION_DAYS`], with their steps, logs and
    /// results
    #[arg(long, conflicts_with_all = ["subjects", "batches", "rows"])]
    runs: bool,
    /// With `--subjects`: the newest versions that are kept however old they are
    #[arg(long, value_name = "N", default_value_t = 10, requires = "subjects")]
    keep_last: u64,
    /// This organization only [default: every one that has something in the bucket]
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    #[command(flatten)]
    deployment: DeploymentArgs,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: RetentionArgs) -> anyhow::Result<ExitCode> {
    let app = args.deployment.open().await?.app;
    let organizations = match &args.organization {
        Some(name) => vec![parse_organization(name)?],
        None => app.organizations().await?,
    };
    if args.subjects {
        return versions(&app, &args, &organizations).await;
    }
    if args.batches || args.runs {
        return jobs(&app, &args, &organizations).await;
    }
    let days = args.days.map(|days| Duration::from_hours(24).saturating_mul(days));
    let rules = RetentionRules { keep: days.or(app.config().retention), rows: args.rows, apply: args.apply };
    if rules.keep.is_none() {
        eprintln!("generations are kept for ever: neither --days nor LONGHAND_RETENTION_DAYS says how long");
    }
    let (mut removed, mut failed) = (0, 0);
    for organization in &organizations {
        let (done, not_done) = one(&app, organization, rules, args.format.json).await?;
        removed += done;
        failed += not_done;
    }
    let verb = if args.apply { "removed" } else { "would be removed" };
    let looked_at = count(organizations.len() as u64, "organization");
    eprintln!("{} {verb}, {failed} could not be; {looked_at} looked at", count(removed, "generation"));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { failure::failed() })
}

/// The versions of every organization.
async fn versions(app: &App, args: &RetentionArgs, organizations: &[Organization]) -> anyhow::Result<ExitCode> {
    let keep = args.days.map_or_else(|| VersionRules::default().keep, |days| Duration::from_hours(24).saturating_mul(days));
    let rules = VersionRules { keep, keep_last: args.keep_last };
    let (mut removed, mut failed) = (0, 0);
    let verb = if args.apply { "removed" } else { "would remove" };
    for organization in organizations {
        let found = app.retain_versions(organization, rules, args.apply).await?;
        for (subject, number) in &found.versions {
            if args.format.json {
                line(json!({ "organization": organization, "subject": subject, "version": number, "removed": args.apply }))?;
            } else {
                line(format!("{verb}  {organization}/{subject}  version {number}"))?;
            }
        }
        for object in &found.objects {
            if args.format.json {
                line(json!({ "organization": organization, "object": object, "removed": args.apply }))?;
            } else {
                line(format!("{verb}  {object}  a text that no version has"))?;
            }
        }
        for (subject, error) in &found.failed {
            eprintln!("error: {organization}/{subject}: {error}");
        }
        (removed, failed) = (removed + found.versions.len() as u64, failed + found.failed.len());
    }
    let verb = if args.apply { "removed" } else { "would be removed" };
    eprintln!("{} {verb}, of {failed} subjects some could not be", count(removed, "version"));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { failure::failed() })
}

/// What an organization has past its time: ids, and in words what they are; and what could not be removed, and why.
type Past = (Vec<(String, &'static str)>, Vec<(String, Error)>);

/// The batches, or the runs, of every organization.
async fn jobs(app: &App, args: &RetentionArgs, organizations: &[Organization]) -> anyhow::Result<ExitCode> {
    let (noun, plural, variable) = if args.batches {
        ("batch", "batches", "LONGHAND_BATCH_RETENTION_DAYS")
    } else {
        ("run", "runs", "LONGHAND_RETENTION_DAYS")
    };
    let days = args.days.map(|days| Duration::from_hours(24).saturating_mul(days));
    let keep = days.or(if args.batches { app.config().batch_retention } else { app.config().retention });
    if keep.is_none() {
        eprintln!("{plural} are kept for ever: neither --days nor {variable} says how long");
    }
    let verb = if args.apply { "removed" } else { "would remove" };
    let (mut removed, mut not_removed) = (0, 0);
    for organization in organizations {
        let (past, failed) = if args.batches {
            batches(app, organization, keep, args.apply).await
        } else {
            runs(app, organization, keep, args.apply).await
        }?;
        for (id, what) in &past {
            if args.format.json {
                line(json!({ "organization": organization, noun: id, "what": what, "removed": args.apply }))?;
            } else {
                line(format!("{verb}  {organization}/{id}  {what}"))?;
            }
        }
        for (id, error) in &failed {
            eprintln!("error: {organization}/{id}: {error}");
        }
        (removed, not_removed) = (removed + past.len(), not_removed + failed.len());
    }
    let removed = if removed == 1 { format!("1 {noun}") } else { format!("{removed} {plural}") };
    eprintln!("{removed} {}, {not_removed} could not be", if args.apply { "removed" } else { "would be removed" });
    Ok(if not_removed == 0 { ExitCode::SUCCESS } else { failure::failed() })
}

async fn batches(app: &App, organization: &Organization, keep: Option<Duration>, apply: bool) -> Result<Past, Error> {
    let Some(keep) = keep else { return Ok(Past::default()) };
    let found = app.retain_batches(organization, keep, apply).await?;
    let past = found.batches.iter().map(|id| (id.to_string(), "batch past its time"));
    Ok((past.collect(), found.failed.into_iter().map(|(id, error)| (id.to_string(), error)).collect()))
}

async fn runs(app: &App, organization: &Organization, keep: Option<Duration>, apply: bool) -> Result<Past, Error> {
    let found = app.retain_runs(organization, keep, apply).await?;
    let past = found.runs.iter().map(|id| (id.to_string(), "run past its time"));
    let past = past.chain(found.objects.iter().map(|id| (id.to_string(), "objects without a run")));
    Ok((past.collect(), found.failed.into_iter().map(|(id, error)| (id.to_string(), error)).collect()))
}

/// How many were removed, and how many could not be.
async fn one(app: &App, organization: &Organization, rules: RetentionRules, is_json: bool) -> anyhow::Result<(u64, u64)> {
    let found = app.retention(organization, rules).await?;
    let kinds: [(&str, &str, &[GenerationId]); 3] = [
        ("expired", "generation past its time", &found.expired),
        ("objects", "objects without a record", &found.objects),
        ("rows", "rows without a record", &found.rows),
    ];
    for (word, people, ids) in kinds {
        for id in ids {
            if is_json {
                line(json!({ "organization": organization, "generation": id, "what": word, "removed": rules.apply }))?;
            } else {
                line(format!("{}  {organization}/{id}  {people}", if rules.apply { "removed" } else { "would remove" }))?;
            }
        }
    }
    for (id, error) in &found.failed {
        eprintln!("error: {organization}/{id}: {error}");
    }
    for key in &found.foreign {
        eprintln!("left alone, it is not of this product: {key}");
    }
    let removed = found.expired.len() + found.objects.len() + found.rows.len();
    Ok((removed as u64, found.failed.len() as u64))
}
