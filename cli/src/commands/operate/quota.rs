//! `longhand quota`: an organization's quotas, and what it has used of them today.

use std::process::ExitCode;
use std::str::FromStr;

use clap::{ArgGroup, Args, Subcommand};
use longhand::QuotaView;
use longhand::quota::{Quota, dollars};

use crate::operator::OperatorArgs;
use crate::options::Format;
use crate::terminal::output::{Fields, line};

/// Show and set an organization's quotas
#[derive(Args, Clone, Debug)]
pub struct QuotaArgs {
    #[command(subcommand)]
    command: QuotaCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum QuotaCommand {
    Set(SetArgs),
    Show(ShowArgs),
}

/// Set some of an organization's quotas; `default` restores the deployment's setting
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["running", "runs", "generations_per_day", "output_bytes_per_day", "spend_per_day"]))]
struct SetArgs {
    /// Generations running at once
    #[arg(long, value_name = "NUMBER")]
    running: Option<Bound>,
    /// Runs of pipelines at work at once; the others wait
    #[arg(long, value_name = "NUMBER")]
    runs: Option<Bound>,
    /// Generations started in one day, UTC
    #[arg(long, value_name = "NUMBER")]
    generations_per_day: Option<Bound>,
    /// Bytes of output in one day
    #[arg(long, value_name = "BYTES")]
    output_bytes_per_day: Option<Bound>,
    /// Money spent with providers in one day, in dollars such as 12.50; needs `LONGHAND_PRICES`
    #[arg(long, value_name = "DOLLARS", value_parser = money)]
    spend_per_day: Option<Bound>,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

/// Show an organization's quotas, and what it has used of them today
#[derive(Args, Clone, Debug)]
struct ShowArgs {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

/// A number; `None` for the deployment's default.
#[derive(Clone, Copy, Debug)]
struct Bound(Option<u64>);

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "default" {
            return Ok(Self(None));
        }
        let number = text.parse().ok().filter(|number| *number > 0);
        number.map(|number| Self(Some(number))).ok_or_else(|| "expected a whole number from 1, or default".to_owned())
    }
}

/// Dollars with up to six decimals, as micro-dollars.
fn money(text: &str) -> Result<Bound, String> {
    if text == "default" {
        return Ok(Bound(None));
    }
    let read = || {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = !whole.is_empty() && digits(whole) && digits(rest) && rest.len() <= 6;
        let micros: u64 = format!("{rest:0<6}").parse().ok()?;
        let all = whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)?;
        Some(all).filter(|all| fits && *all > 0)
    };
    read().map(|micros| Bound(Some(micros))).ok_or_else(|| "expected dollars such as 12.50, above 0, or default".to_owned())
}

pub async fn run(args: QuotaArgs) -> anyhow::Result<ExitCode> {
    let (operator, format) = match &args.command {
        QuotaCommand::Set(args) => (&args.operator, args.format),
        QuotaCommand::Show(args) => (&args.operator, args.format),
    };
    let (app, organization) = operator.open().await?;
    if let QuotaCommand::Set(set) = &args.command {
        let own = app.quota_view(&organization).await?.own;
        let quota = Quota {
            running: set.running.map_or(own.running, |bound| bound.0),
            runs: set.runs.map_or(own.runs, |bound| bound.0),
            generations_per_day: set.generations_per_day.map_or(own.generations_per_day, |bound| bound.0),
            output_bytes_per_day: set.output_bytes_per_day.map_or(own.output_bytes_per_day, |bound| bound.0),
            spend_per_day: set.spend_per_day.map_or(own.spend_per_day, |bound| bound.0),
        };
        app.set_quota(&organization, quota).await?;
        if quota.spend_per_day.is_some() && app.config().prices.is_empty() {
            eprintln!("warning: no model has a price (LONGHAND_PRICES), so every start of {organization} is refused");
        }
    }
    print(&app.quota_view(&organization).await?, format)?;
    Ok(ExitCode::SUCCESS)
}

fn print(view: &QuotaView, format: Format) -> anyhow::Result<()> {
    if format.json {
        return Ok(line(serde_json::to_string(view)?)?);
    }
    let mut fields = Fields::default();
    let (quota, own, used) = (view.quota, view.own, view.used);
    let describe = |most: Option<u64>, own: Option<u64>, used: Option<u64>, show: fn(u64) -> String| {
        let used = used.filter(|_| most.is_some()).map(|used| format!(", {} used today", show(used)));
        let whose = if own.is_some() { "" } else { " (default)" };
        format!("{}{whose}{}", most.map_or_else(|| "no bound".to_owned(), show), used.unwrap_or_default())
    };
    let number = |number: u64| number.to_string();
    fields.add("organization", &view.organization);
    fields.add("running", describe(quota.running, own.running, None, number));
    fields.add("runs at work", describe(quota.runs, own.runs, None, number));
    let generations = describe(quota.generations_per_day, own.generations_per_day, Some(used.generations), number);
    let output = describe(quota.output_bytes_per_day, own.output_bytes_per_day, Some(used.output_bytes), number);
    let spend = describe(quota.spend_per_day, own.spend_per_day, Some(used.spend), dollars);
    fields.add("generations a day", generations).add("output bytes a day", output).add("spend a day", spend);
    Ok(fields.add("day", format!("{} UTC", view.day)).print()?)
}
