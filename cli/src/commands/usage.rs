//! `longhand usage`: what the generations of some days came to, over the API.

use std::process::ExitCode;

use clap::Args;
use longhand::quota::dollars;
use longhand::statistics::report::{Dimension, Spread, UsageFigures, UsageGroup, UsageReport};
use longhand_client::Method;

use crate::api::{read, with_query};
use crate::options::{Format, Target};
use crate::running_stack;
use crate::terminal::output::{columns, json_line};

/// Show counts, durations, tokens and costs of the generations of some days
#[derive(Args, Clone, Debug)]
pub struct UsageArgs {
    /// The first day, UTC [default: 29 days before the last]
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day, UTC [default: today]
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// What they are divided by: day, provider, model, or some of them with commas between
    #[arg(long, value_name = "DIMENSIONS", default_value = "day")]
    by: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: UsageArgs) -> anyhow::Result<ExitCode> {
    let path = with_query("/v1/usage", &[("from", args.from), ("to", args.to), ("by", Some(args.by))])?;
    let call = running_stack::connect(&args.target).await?.request(Method::GET, &path);
    let (report, whole): (UsageReport, String) = read(call).await?;
    if args.format.json {
        json_line(&whole)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(report: &UsageReport) -> std::io::Result<()> {
    const FIGURES: [&str; 10] = [
        "ENDED",
        "COMPLETED",
        "INCOMPLETE",
        "FAILED",
        "CANCELLED",
        "SUCCESS",
        "SECONDS, 95%",
        "FIRST TEXT, 95%",
        "TOKENS IN, OUT",
        "COST",
    ];
    let name = |dimension: &Dimension| match dimension {
        Dimension::Day => "DAY",
        Dimension::Provider => "PROVIDER",
        Dimension::Model => "MODEL",
    };
    let head: Vec<String> = report.by.iter().map(name).chain(FIGURES).map(str::to_owned).collect();
    let of_group = |group: &UsageGroup| {
        let named = report.by.iter().map(|dimension| match dimension {
            Dimension::Day => group.day.clone(),
            Dimension::Provider => group.provider.clone(),
            Dimension::Model => group.model.clone(),
        });
        named.map(Option::unwrap_or_default).chain(figures(&group.figures)).collect()
    };
    let mut rows: Vec<Vec<String>> = report.data.iter().map(of_group).collect();
    let all = report.by.iter().enumerate().map(|(at, _)| if at == 0 { "total".to_owned() } else { String::new() });
    rows.push(all.chain(figures(&report.total)).collect());
    columns(&head, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn figures(of: &UsageFigures) -> [String; 10] {
    let counts = of.generations;
    let rate = of.success_rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.1}%", rate * 100.0));
    [
        counts.total.to_string(),
        counts.completed.to_string(),
        counts.incomplete.to_string(),
        counts.failed.to_string(),
        counts.cancelled.to_string(),
        rate,
        spread(of.duration_ms),
        spread(of.first_text_ms),
        format!("{}, {}", of.usage.input_tokens, of.usage.output_tokens),
        cost(of),
    ]
}

/// The cost, and how many generations are not in it.
fn cost(of: &UsageFigures) -> String {
    match of.without_cost {
        0 => dollars(of.cost),
        without if without == of.generations.total => "unknown".to_owned(),
        without => format!("{} ({without} without)", dollars(of.cost)),
    }
}

/// The median, and what 95 % do not exceed, in seconds.
fn spread(of: Spread) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let seconds = |millis: u64| format!("{:.2}", millis as f64 / 1e3);
    of.median.zip(of.p95).map_or_else(|| "-".to_owned(), |(median, p95)| format!("{}, {}", seconds(median), seconds(p95)))
}
