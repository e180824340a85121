//! `longhand cost`: estimates what a generation costs on AWS, before anything is deployed.
//!
//! The quantities follow from the product's own rules; the prices are a list, of which each can be replaced.

mod bill;
mod deployed;
mod fleet;
pub mod prices;
mod print;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use longhand::estimate::{Pace, Workload, estimate};
use longhand::fleet::AT_ONCE_MAX;
use longhand::limits;
use longhand_local::TEMPLATE;
use serde_json::json;

use crate::options::Format;
use crate::terminal::output::line;
use bill::Deployment;
pub use deployed::Deployed;
use fleet::Fleet;
use prices::{Override, Prices};

/// Estimate what a generation costs on AWS, item by item
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Args, Clone, Debug)]
pub struct CostArgs {
    /// Tokens of output
    #[arg(long, value_name = "NUMBER", required_unless_present = "list_prices", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    tokens: Option<u64>,
    /// Seconds from the first token to the last
    #[arg(long, value_name = "SECONDS", required_unless_present = "list_prices", value_parser = seconds)]
    seconds: Option<f64>,
    /// The share of that time in which it is watched, such as 0.5 or 50%
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    watched: f64,
    /// Readers at once
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    readers: u32,
    /// Seconds before the first token
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds_or_none)]
    first_token: f64,
    /// Deltas per second from the provider [default: one for each token]
    #[arg(long, value_name = "NUMBER", value_parser = positive)]
    deltas_per_second: Option<f64>,
    /// Bytes per token
    #[arg(long, value_name = "BYTES", default_value = "4", value_parser = positive)]
    bytes_per_token: f64,
    /// Bytes of the request's JSON
    #[arg(long, value_name = "BYTES", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(..=limits::REQUEST_BYTES_MAX as u64))]
    request_bytes: u64,
    /// The output is JSON, of which the record keeps up to 64 KB
    #[arg(long)]
    output_is_json: bool,
    /// Reads of the result after the generation has ended
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    later_reads: u32,
    /// Months that the result is stored
    #[arg(long, value_name = "NUMBER", default_value = "12", value_parser = positive)]
    kept_months: f64,
    /// Generations per month: adds the bill of a month
    #[arg(long, value_name = "NUMBER")]
    generations: Option<u64>,
    /// The fewest milliseconds between two flushes of a watched generation: `WatchedWindowMs` [default: 150]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=60_000))]
    watched_window: Option<u64>,
    /// Memory of the function `stream`, in megabytes [default: the template's]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10_240))]
    memory: Option<u32>,
    /// Generations that are started together and written side by side in one invocation of `stream`
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    riders: u32,
    /// Generations of one organization, provider and model that end within five minutes, and are counted in the statistics together [default: 1; with
    /// riders, those of an invocation that takes the next one when one has ended]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    ended_together: Option<u32>,
    /// The generation is an item of a batch of so many, which are started by one request, and read by one
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: Option<u32>,
    /// The generation is a step of a run of a pipeline
    #[arg(long, conflicts_with = "batch")]
    step: bool,
    /// The generation has a subject, and becomes its next version
    #[arg(long)]
    subject: bool,
    /// Webhooks that are told of the generation's end
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=20))]
    webhooks: u32,
    /// The share of invocations that begin in a new execution environment; 100% for a stack with a few generations an hour
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    cold: f64,
    /// The API and the writers are a fleet's, whose tasks are full
    #[arg(long, conflicts_with = "memory")]
    fleet: bool,
    /// Generations that a worker of the fleet writes at once
    #[arg(long, value_name = "NUMBER", default_value_t = 200, requires = "fleet", value_parser = clap::value_parser!(u16).range(1..=i64::from(AT_ONCE_MAX)))]
    at_once: u16,
    /// The architecture of the functions and tasks
    #[arg(long, default_value = "arm64")]
    arch: Arch,
    /// The provider's price of a million tokens of output, in dollars, for comparison
    #[arg(long, value_name = "DOLLARS", value_parser = positive)]
    token_price: Option<f64>,
    /// The region of the price list
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
    /// A price that replaces the one in the list; repeatable
    #[arg(long = "price", value_name = "NAME=DOLLARS")]
    prices: Vec<Override>,
    /// Print the price list with dates and sources, and nothing else
    #[arg(long)]
    list_prices: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Arch {
    #[value(name = "arm64")]
    Arm64,
    #[value(name = "x86_64")]
    X86,
}

/// The longest generation, with hand-overs from function to function.
const SECONDS_MAX: f64 = 3.0 * 3_600.0;
/// How long `meter` waits for more generations to count: `MeterWindowSeconds`.
const METER_WINDOW_SECONDS: f64 = 300.0;
const LOG_DAYS: Duration = Duration::from_hours(24);

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn seconds(text: &str) -> Result<f64, String> {
    let fits = |seconds: &f64| *seconds > 0.0 && *seconds <= SECONDS_MAX;
    number(text).filter(fits).ok_or_else(|| format!("expected seconds above 0 and up to {SECONDS_MAX}, such as 60"))
}

fn seconds_or_none(text: &str) -> Result<f64, String> {
    if number(text) == Some(0.0) { Ok(0.0) } else { seconds(text) }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.strip_suffix('%').map_or_else(|| number(text), |percent| number(percent).map(|percent| percent / 100.0));
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "expected a share from 0 to 1, such as 0.5 or 50%".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).filter(|number| *number > 0.0 && *number <= 1e9).ok_or_else(|| "expected a number above 0".to_owned())
}

impl CostArgs {
    /// The generation. The parser requires tokens and seconds unless the list is printed.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded by the parsers"
    )]
    fn workload(&self) -> Workload {
        let (tokens, seconds) = (self.tokens.unwrap_or(1), self.seconds.unwrap_or(1.0));
        let deltas = self.deltas_per_second.map_or(tokens as f64, |each| each * seconds).clamp(1.0, tokens as f64) as u64;
        let output_bytes = (tokens as f64 * self.bytes_per_token).ceil() as u64;
        let whole = self.first_token + seconds;
        let is_kept = self.output_is_json && output_bytes <= limits::LLM_RESPONSE_BYTES_MAX as u64;
        Workload {
            output_bytes,
            deltas,
            silence: Duration::from_secs_f64(self.first_token),
            stream: Duration::from_secs_f64(seconds),
            watched: Duration::from_secs_f64(whole * self.watched),
            readers: if self.watched > 0.0 { u64::from(self.readers) } else { 0 },
            request_bytes: self.request_bytes,
            response_bytes: if is_kept { output_bytes } else { 0 },
        }
    }

    fn pace(&self) -> Pace {
        let mut pace = Pace::default();
        if let Some(window) = self.watched_window {
            pace.windows.watched = Duration::from_millis(window);
        }
        pace
    }

    fn deployment(&self, deployed: &Deployed) -> anyhow::Result<Deployment> {
        let rounds = METER_WINDOW_SECONDS / (self.first_token + self.seconds.unwrap_or(1.0));
        let of_riders = if self.riders == 1 { 1.0 } else { f64::from(self.riders) * rounds.max(1.0) };
        Ok(Deployment {
            riders: self.riders,
            ended_together: self.ended_together.map_or(of_riders, f64::from),
            batch: self.batch,
            is_step: self.step,
            has_subject: self.subject,
            webhooks: self.webhooks,
            cold: self.cold,
            memory_mb: self.memory.map_or_else(|| deployed.memory_mb("stream"), Ok)?,
            fleet: self.fleet.then_some(Fleet {
                at_once: self.at_once,
                prices: match self.arch {
                    Arch::Arm64 => ["fargate-arm64", "fargate-arm64-memory"],
                    Arch::X86 => ["fargate-x86_64", "fargate-x86_64-memory"],
                },
            }),
            lambda: match self.arch {
                Arch::Arm64 => "lambda-arm64",
                Arch::X86 => "lambda-x86_64",
            },
            chunk_ttl: LOG_DAYS,
            kept_months: self.kept_months,
            later_reads: f64::from(self.later_reads),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a bill is not exact")]
pub fn run(args: &CostArgs) -> anyhow::Result<ExitCode> {
    let prices = Prices::of(&args.region, &args.prices)?;
    if args.list_prices {
        print::list(&prices, args.format)?;
        return Ok(ExitCode::SUCCESS);
    }
    let deployed = Deployed::read(TEMPLATE)?;
    let (workload, deployment) = (args.workload(), args.deployment(&deployed)?);
    let estimate = estimate(&workload, &args.pace())?;
    let generation = bill::of_generation(&workload, &estimate, &deployment, &deployed, &prices)?;
    let stack = bill::of_stack(&deployed, deployment.lambda, args.fleet, &prices)?;
    let hour = deployment.fleet.map(|fleet| fleet.hour(&prices)).transpose()?;
    let tokens = args.token_price.map(|price| price * args.tokens.unwrap_or(0) as f64 / 1e6);
    if args.format.json {
        let month = args.generations.map(|number| {
            let generations = number as f64 * generation.dollars;
            json!({ "generations": number, "dollars": generations, "stack_dollars": stack.dollars, "total_dollars": generations + stack.dollars })
        });
        line(json!({
            "region": args.region, "estimate": estimate, "write_units": estimate.writes.total(), "read_units": estimate.reads.total(),
            "generation": generation, "stack_month": stack, "month": month, "token_dollars": tokens, "fleet_hour": hour,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    print::estimate(&workload, &estimate)?;
    print::bill("one generation", &generation, &prices)?;
    if let Some(hour) = &hour {
        print::fleet(hour, args.at_once)?;
    }
    if let Some(tokens) = tokens {
        print::compared(tokens, generation.dollars)?;
    }
    if let Some(number) = args.generations {
        print::bill("the stack itself, a month", &stack, &prices)?;
        print::month(number, generation.dollars, stack.dollars)?;
    }
    print::notes(&args.region)?;
    Ok(ExitCode::SUCCESS)
}
