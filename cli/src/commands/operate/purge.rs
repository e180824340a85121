//! `longhand purge`: deletes ended generations for good.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use serde_json::Value;

use crate::operator::OperatorArgs;
use crate::product::{self, GenerationId, GenerationKey};
use crate::terminal::follow;
use crate::terminal::output::{count, line};
use crate::{failure, place};

const PAGE: usize = 100;

/// Delete the log, the result and the record of generations that have ended
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["ids", "all"]))]
pub struct PurgeArgs {
    /// The generations' ids
    #[arg(value_name = "ID")]
    ids: Vec<GenerationId>,
    /// Every generation that has ended
    #[arg(long, requires = "yes", conflicts_with_all = ["aws", "organization"])]
    all: bool,
    /// Do it without being asked again
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

pub async fn run(args: PurgeArgs) -> anyhow::Result<ExitCode> {
    let (app, organization) = args.operator.open().await?;
    let ids = if args.all { ended(&args).await? } else { args.ids };
    let mut failures = 0;
    for id in &ids {
        match product::purge(&app, &GenerationKey::new(organization.clone(), id.clone())).await {
            Ok(()) => line(format!("purged {id}"))?,
            Err(error) => {
                eprintln!("error: {id}: {}", failure::told(&error));
                failures += 1;
            }
        }
    }
    if args.all {
        eprintln!("{} purged", count((ids.len() - failures) as u64, "generation"));
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { failure::failed() })
}

/// The ids of all generations that have ended, read before any is deleted.
async fn ended(args: &PurgeArgs) -> anyhow::Result<Vec<GenerationId>> {
    let data = &args.operator.folder.data;
    let place = place::running(data).await?.ok_or_else(|| place::nothing_runs(data, "give the ids and --aws"))?;
    let api = place.api()?;
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = api.list(Some(PAGE), after.as_deref()).await?.value;
        let records = page["data"].as_array().context("the list is not in the expected form")?;
        let ended = records.iter().filter(|record| record["status"].as_str().is_some_and(follow::has_ended));
        for id in ended.filter_map(|record| record["id"].as_str()) {
            ids.push(id.parse().with_context(|| format!("the list has the id {id:?}"))?);
        }
        if page["has_more"] != Value::Bool(true) {
            return Ok(ids);
        }
        after = Some(page["last_id"].as_str().context("the list does not say where it goes on")?.to_owned());
    }
}
