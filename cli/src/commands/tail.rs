//! `longhand tail`: a generation's text as it comes, from the beginning or from where one left.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use crate::api::{Api, Event};
use crate::arguments::Target;
use crate::patience::Patience;
use crate::{failure, follow, output, place};

/// Between the log's end and the record's word on it: the result is put away.
const RESULT_WAIT: Duration = Duration::from_mins(1);

/// Print a generation's text as it comes; exits with 0 if it completes
#[derive(Args, Clone, Debug)]
pub struct TailArgs {
    /// The generation's id
    id: String,
    /// Ask for new events again and again (the only way so far), so many seconds apart
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, value_parser = seconds)]
    #[arg(default_value = "0.2", default_missing_value = "0.2")]
    poll: Duration,
    /// Begin after this event's number
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    #[command(flatten)]
    target: Target,
}

/// What has been printed so far.
struct Printer {
    after: Option<u64>,
    output_index: Option<u64>,
}

pub async fn run(args: TailArgs) -> anyhow::Result<ExitCode> {
    let mut api = place::api(&args.target).await?;
    let mut printer = Printer { after: args.after, output_index: None };
    tokio::select! {
        ended = poll(&mut api, &args, &mut printer) => ended?,
        _ = tokio::signal::ctrl_c() => {
            let after = printer.after.map(|seq| format!(" --after {seq}")).unwrap_or_default();
            eprintln!("\nto go on: longhand tail {} --poll{after}{}", args.id, args.target.as_flags());
            return Ok(failure::interrupted());
        }
    }
    output::text("")?;
    let record = follow::to_the_end(&api, &args.id, Some(RESULT_WAIT)).await?.value;
    if record["status"] == "completed" {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: {} ended as {}", args.id, follow::outcome(&record));
    Ok(failure::failed())
}

/// Prints until the log has ended.
async fn poll(api: &mut Api, args: &TailArgs, printer: &mut Printer) -> anyhow::Result<()> {
    let mut patience = Patience::default();
    loop {
        let page = match api.events(&args.id, printer.after).await {
            Ok(page) => page,
            Err(error) => {
                patience.bear(error).await?;
                relocate(api, args).await;
                continue;
            }
        };
        patience.restore();
        for event in &page.data {
            printer.print(event)?;
            if follow::has_ended(&event.kind) {
                return Ok(());
            }
        }
        if page.has_more {
            continue;
        }
        if page.data.is_empty() && follow::has_ended(&page.status) {
            return Ok(());
        }
        sleep(args.poll).await;
    }
}

/// A stack that was restarted has another address.
async fn relocate(api: &mut Api, args: &TailArgs) {
    let data: &Path = &args.target.folder.data;
    if args.target.url.is_some() {
        return;
    }
    if let Ok(Some(place)) = place::running(data).await
        && let Ok(found) = Api::new(&place.url)
    {
        *api = found;
    }
}

impl Printer {
    fn print(&mut self, event: &Event) -> std::io::Result<()> {
        self.after = Some(event.seq);
        if !matches!(event.kind.as_str(), "output_text.delta" | "refusal.delta") {
            return Ok(());
        }
        if self.output_index.replace(event.output_index).is_some_and(|index| index != event.output_index) {
            eprintln!("\nnote: a new output item begins here");
        }
        output::raw(&event.delta)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "expected a number of seconds, such as 0.5".to_owned())
}
