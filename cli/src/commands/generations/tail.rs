//! `longhand tail`: a generation's text as it comes, from the beginning or from where one left.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures::StreamExt as _;
use tokio::time::sleep;

use crate::api::{Api, Event};
use crate::options::Target;
use crate::patience::Patience;
use crate::terminal::{follow, output};
use crate::{failure, place};

/// Between the log's end and the record's word on it: the result is put away.
const RESULT_WAIT: Duration = Duration::from_mins(1);

/// Print a generation's text as it comes; exits with 0 if it completes
#[derive(Args, Clone, Debug)]
pub struct TailArgs {
    /// The generation's id
    id: String,
    /// Ask for new events again and again, so many seconds apart, instead of following them live [default: 0.2]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, value_parser = seconds)]
    #[arg(default_missing_value = "0.2")]
    poll: Option<Duration>,
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
    /// A later attempt that has said nothing yet.
    attempt: Option<u64>,
}

pub async fn run(args: TailArgs) -> anyhow::Result<ExitCode> {
    let mut api = place::api(&args.target).await?;
    let mut printer = Printer { after: args.after, output_index: None, attempt: None };
    tokio::select! {
        ended = print_all(&mut api, &args, &mut printer) => ended?,
        _ = tokio::signal::ctrl_c() => {
            let after = printer.after.map(|seq| format!(" --after {seq}")).unwrap_or_default();
            eprintln!("\nto go on: longhand tail {}{after}{}", args.id, args.target.as_flags());
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

/// Prints until the log has ended. Whatever breaks in between, it goes on where it was.
async fn print_all(api: &mut Api, args: &TailArgs, printer: &mut Printer) -> anyhow::Result<()> {
    match args.poll {
        Some(pause) => poll(api, args, pause, printer).await,
        None => follow_live(api, args, printer).await,
    }
}

async fn follow_live(api: &mut Api, args: &TailArgs, printer: &mut Printer) -> anyhow::Result<()> {
    let mut patience = Patience::default();
    loop {
        let before = printer.after;
        match print_stream(api, &args.id, printer).await {
            Ok(true) => return Ok(()),
            // A server may end its answer; whoever wants more asks again.
            Ok(false) => {}
            Err(error) => {
                patience.bear(error).await?;
                relocate(api, args).await;
            }
        }
        if printer.after != before {
            patience.restore();
        }
    }
}

/// Prints one answer to its end; `true`: the log has ended.
async fn print_stream(api: &Api, id: &str, printer: &mut Printer) -> anyhow::Result<bool> {
    let Some(mut events) = api.follow(id, printer.after).await? else { return Ok(true) };
    while let Some(event) = events.next().await {
        let event = event?;
        printer.print(&event)?;
        if follow::has_ended(&event.kind) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn poll(api: &mut Api, args: &TailArgs, pause: Duration, printer: &mut Printer) -> anyhow::Result<()> {
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
        sleep(pause).await;
    }
}

/// A stack that was restarted has another address.
async fn relocate(api: &mut Api, args: &TailArgs) {
    let data: &Path = &args.target.folder.data;
    if args.target.url.is_some() {
        return;
    }
    if let Ok(Some(place)) = place::running(data).await
        && let Ok(found) = place.api()
    {
        *api = found;
    }
}

impl Printer {
    fn print(&mut self, event: &Event) -> std::io::Result<()> {
        self.after = Some(event.seq);
        self.attempt = event.attempt.filter(|attempt| *attempt > 1).or(self.attempt);
        if !matches!(event.kind.as_str(), "output_text.delta" | "refusal.delta") {
            return Ok(());
        }
        let is_new = self.output_index.replace(event.output_index).is_some_and(|index| index != event.output_index);
        match self.attempt.take().filter(|_| is_new) {
            Some(attempt) => eprintln!("\nnote: attempt {attempt} begins again here; the text above is given up"),
            None if is_new => eprintln!("\nnote: a new output item begins here"),
            // An attempt that goes on is nothing that its text would show.
            None => {}
        }
        output::raw(&event.delta)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "expected a number of seconds, such as 0.5".to_owned())
}
