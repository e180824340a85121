//! What `longhand migrate` and `longhand backfill` have in common: a dry run first; then a backup, the run, and its verification; resume and
//! undo.

mod backup;
mod report;
pub mod sqlite;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use longhand::aws::{MigrationRow, MigrationStatus};
use longhand::ids::MigrationId;
use longhand::limits::QUOTA_KEPT;
use longhand::{App, DataChange, Maintenance, MigrationRun, Organization, RunOptions};

use self::report::Report;
use crate::failure;
use crate::operator::DeploymentArgs;
use crate::options::Format;

/// How data is changed.
#[derive(Args, Clone, Debug)]
pub struct MigrationArgs {
    /// Write; without it, only what would be done is told
    #[arg(long, requires = "backup", conflicts_with_all = ["resume", "undo"])]
    apply: bool,
    /// Where the backup goes that is made before: a new folder for a stack of this machine; on AWS `new`, or the ARN of a backup of the last hour
    #[arg(long, value_name = "DEST", requires = "apply")]
    backup: Option<String>,
    /// Write only if the plan still has this hash, which the dry run tells
    #[arg(long, value_name = "HASH", requires = "apply")]
    plan: Option<String>,
    /// Go on with a run that was interrupted
    #[arg(long, value_name = "RUN", conflicts_with = "undo")]
    resume: Option<MigrationId>,
    /// Take back what a run has written, as far as nobody has changed it since
    #[arg(long, value_name = "RUN")]
    undo: Option<MigrationId>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Write units in a second, on average
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=40_000))]
    write_units_per_second: u32,
    /// How long the lock is held by a process that does not renew it any more
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=900))]
    lease_seconds: u32,
    /// Refuse new starts (503) of all organizations while it writes, or takes back; a minute passes before it begins
    #[arg(long)]
    maintenance: bool,
    /// A file for what becomes of each unit and what was found about it, as JSON lines
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    deployment: DeploymentArgs,
    #[command(flatten)]
    format: Format,
}

impl MigrationArgs {
    fn options(&self, known: Vec<Organization>) -> RunOptions {
        if self.maintenance {
            eprintln!("under the lock new starts are refused, and {} s pass until every function knows it", QUOTA_KEPT.as_secs());
        }
        RunOptions {
            lease: Duration::from_secs(self.lease_seconds.into()),
            write_units_per_second: self.write_units_per_second,
            maintenance: self.maintenance.then_some(Maintenance { organizations: known, wait: QUOTA_KEPT }),
        }
    }
}

/// Runs a change as the arguments say. `known` are organizations that it may write to, besides those that there are.
pub async fn run(change: &dyn DataChange, args: &MigrationArgs, known: Vec<Organization>) -> anyhow::Result<ExitCode> {
    let app = args.deployment.open().await?.app;
    report::print_place(&app, args, change).await?;
    if let Some(id) = &args.undo {
        return undo(&app, change, args, id, known).await;
    }
    if let Some(id) = &args.resume {
        app.known_migration(id).await?;
        if !args.yes && !confirm(&app)? {
            return Ok(failure::failed());
        }
        let run = app.resume_migration(change, id.clone(), &args.options(known)).await?;
        return ended(&app, change, args, &run).await;
    }
    let mut report = Report::new(args)?;
    let plan = app.plan_migration_and_tell(change, &mut |planned| report.add(planned)).await?;
    report.finish()?;
    report::print_plan(&plan, args)?;
    if !args.apply {
        eprintln!("dry run: nothing was written; --apply --backup DEST --plan {} writes this", plan.hash());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(expected) = args.plan.as_ref().filter(|expected| **expected != plan.hash()) {
        anyhow::bail!("the plan has the hash {}, not {expected}: the data has changed since, look at it again", plan.hash());
    }
    if plan.counts.changed == 0 {
        eprintln!("there is nothing to write");
        return verified(&app, change, args).await;
    }
    if !args.yes && !confirm(&app)? {
        return Ok(failure::failed());
    }
    let backup = backup::make(&app, args, change.name()).await?;
    eprintln!("backup  {backup}");
    let id = MigrationId::new(app.now_ms());
    eprintln!("run     {id}");
    let run = app.run_migration(change, id.clone(), plan.hash(), backup, &args.options(known)).await;
    let is_running = |row: MigrationRow| row.status == MigrationStatus::Running;
    if run.is_err() && app.known_migration(&id).await.is_ok_and(is_running) {
        eprintln!("run {id} was interrupted: --resume {id} goes on, --undo {id} takes back what it has written");
    }
    ended(&app, change, args, &run?).await
}

async fn ended(app: &App, change: &dyn DataChange, args: &MigrationArgs, run: &MigrationRun) -> anyhow::Result<ExitCode> {
    report::print_run(run, args)?;
    let code = verified(app, change, args).await?;
    let is_whole = run.row.status == MigrationStatus::Done && run.row.refused.is_empty();
    Ok(if is_whole { code } else { failure::failed() })
}

async fn verified(app: &App, change: &dyn DataChange, args: &MigrationArgs) -> anyhow::Result<ExitCode> {
    let verification = change.verify(app).await?;
    report::print_verification(&verification, args)?;
    Ok(if verification.agrees() { ExitCode::SUCCESS } else { failure::failed() })
}

async fn undo(
    app: &App,
    change: &dyn DataChange,
    args: &MigrationArgs,
    id: &MigrationId,
    known: Vec<Organization>,
) -> anyhow::Result<ExitCode> {
    app.known_migration(id).await?;
    if !args.yes && !confirm(app)? {
        return Ok(failure::failed());
    }
    let undone = app.undo_migration(change.name(), id, &args.options(known)).await?;
    report::print_undone(&undone, args)?;
    Ok(if undone.changed_since.is_empty() { ExitCode::SUCCESS } else { failure::failed() })
}

/// Asks a person for the name of the table. Where nobody can be asked, the arguments are the answer.
fn confirm(app: &App) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(true);
    }
    let table = &app.config().records_table;
    eprint!("type the name of the table to go on: ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == table)
}
