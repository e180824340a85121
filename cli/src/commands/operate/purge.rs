//! `longhand purge`: deletes ended generations for good.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use longhand::{GenerationId, GenerationKey};

use crate::operator::OperatorArgs;
use crate::terminal::output::{count, line};
use crate::{failure, running_stack};

const PAGE: usize = 100;

/// Delete the log, the result and the record of generations that have ended
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["ids", "all"]))]
pub struct PurgeArgs {
    /// The generations' ids
    #[arg(value_name = "ID")]
    ids: Vec<GenerationId>,
    /// Every generation that has ended
    #[arg(long, conflicts_with_all = ["aws", "organization"])]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

pub async fn run(args: PurgeArgs) -> anyhow::Result<ExitCode> {
    if !args.yes && !io::stdin().is_terminal() {
        return Err(failure::usage("purge deletes for good: give --yes"));
    }
    let (app, organization) = args.operator.open().await?;
    let (ids, yes) = (if args.all { ended(&args).await? } else { args.ids }, args.yes);
    if !yes && !confirm(&ids)? {
        return Ok(failure::failed());
    }
    let mut failures = 0;
    for id in &ids {
        match app.purge(&GenerationKey::new(organization.clone(), id.clone())).await {
            Ok(_) => line(format!("purged {id}"))?,
            Err(error) => {
                eprintln!("error: {id}: {}", failure::describe(&error.into()));
                failures += 1;
            }
        }
    }
    if args.all {
        eprintln!("{} purged", count((ids.len() - failures) as u64, "generation"));
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { failure::failed() })
}

/// Asks on the terminal.
fn confirm(ids: &[GenerationId]) -> anyhow::Result<bool> {
    eprint!("delete {} for good? [y/N] ", count(ids.len() as u64, "generation"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The ids of all generations that have ended, read before any is deleted.
async fn ended(args: &PurgeArgs) -> anyhow::Result<Vec<GenerationId>> {
    let data = &args.operator.folder.data;
    let stack = running_stack::find(data).await?;
    let client = stack.ok_or_else(|| running_stack::no_stack(data, "give the ids and --aws"))?.client()?;
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = client.list(Some(PAGE), after.as_ref().map(GenerationId::as_str)).await?.value;
        ids.extend(page.data.into_iter().filter(|record| record.status.is_terminal()).map(|record| record.id));
        if !page.has_more {
            return Ok(ids);
        }
        after = Some(page.last_id.context("the list does not say where it continues")?);
    }
}
