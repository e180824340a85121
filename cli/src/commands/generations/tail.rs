//! `longhand tail`: prints a generation's text as it comes.

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use longhand::generation::Status;
use longhand::log::event::{Event, NumberedEvent};
use longhand_client::Client;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::options::{Format, Target};
use crate::retry::with_retries;
use crate::terminal::{follow, output};
use crate::{failure, running_stack};

/// The longest wait between the end of the log and the record's final status.
const RESULT_WAIT: Duration = Duration::from_mins(1);

/// Print a generation's text as it comes; exits with 0 if it completes
#[derive(Args, Clone, Debug)]
pub struct TailArgs {
    /// The generation's id
    id: String,
    /// Poll for new events at this interval instead of following them live [default: 0.2]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, value_parser = seconds)]
    #[arg(default_missing_value = "0.2")]
    poll: Option<Duration>,
    /// Begin after this event's number
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// What has been printed so far: the text, or every event as a line of JSON.
struct Printer {
    as_json: bool,
    after: Option<u64>,
    output_index: Option<u32>,
    /// A later attempt, none of whose text has been printed yet.
    attempt: Option<u32>,
}

pub async fn run(args: TailArgs) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect(&args.target).await?;
    let mut printer = Printer { as_json: args.format.json, after: args.after, output_index: None, attempt: None };
    let print_all = async {
        match args.poll {
            Some(interval) => poll(&client, &args.id, &args.target, interval, &mut printer).await,
            None => follow_live(&client, &args.id, &args.target, &mut printer).await,
        }
    };
    tokio::select! {
        ended = print_all => ended?,
        _ = tokio::signal::ctrl_c() => {
            let after = printer.after.map(|seq| format!(" --after {seq}")).unwrap_or_default();
            eprintln!("\nto continue: longhand tail {}{after}{}", args.id, args.target.as_flags());
            return Ok(failure::interrupted());
        }
    }
    if !args.format.json {
        output::text("")?;
    }
    let client = restarted(&args.target).await.unwrap_or(client);
    let record = follow::to_the_end(&client, &args.id, Some(RESULT_WAIT)).await?;
    if record.status == Status::Completed {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: {} ended as {}", args.id, follow::outcome(&record));
    Ok(failure::not_completed())
}

/// Prints the text as it comes, until the log has ended.
pub async fn print_live(client: &Client, id: &str, target: &Target) -> anyhow::Result<()> {
    let mut printer = Printer { as_json: false, after: None, output_index: None, attempt: None };
    follow_live(client, id, target, &mut printer).await?;
    Ok(output::text("")?)
}

/// Follows until the log has ended. After a failure it resumes behind the newest event.
async fn follow_live(client: &Client, id: &str, target: &Target, printer: &mut Printer) -> anyhow::Result<()> {
    let log = Mutex::new(client.follow(id, printer.after));
    let next = async || {
        let mut log = log.lock().await;
        let event = log.next().await;
        if event.is_err()
            && let Some(client) = restarted(target).await
        {
            log.use_client(client);
        }
        event
    };
    while let Some(event) = with_retries(&next).await? {
        printer.print(&event)?;
    }
    Ok(())
}

async fn poll(client: &Client, id: &str, target: &Target, interval: Duration, printer: &mut Printer) -> anyhow::Result<()> {
    let client = RefCell::new(client.clone());
    loop {
        let after = printer.after;
        let read = async || {
            let current = client.borrow().clone();
            let page = current.events(id, after).await;
            if page.is_err()
                && let Some(found) = restarted(target).await
            {
                client.replace(found);
            }
            page
        };
        let page = with_retries(read).await?;
        for event in &page.data {
            printer.print(event)?;
            if event.event.end().is_some() {
                return Ok(());
            }
        }
        printer.after = page.last_seq.or(printer.after);
        if page.has_more {
            continue;
        }
        if page.data.is_empty() && page.status.is_terminal() {
            return Ok(());
        }
        sleep(interval).await;
    }
}

/// A client of the stack on the data folder: after a restart it has another address.
async fn restarted(target: &Target) -> Option<Client> {
    if target.url.is_some() {
        return None;
    }
    running_stack::find(&target.folder.data).await.ok()??.client().ok()
}

impl Printer {
    fn print(&mut self, event: &NumberedEvent) -> std::io::Result<()> {
        self.after = Some(event.seq);
        if self.as_json {
            return output::raw(&format!("{}\n", serde_json::to_string(event)?));
        }
        let (Event::OutputTextDelta(stretch) | Event::RefusalDelta(stretch)) = &event.event else {
            if let Event::InProgress { attempt: attempt @ 2.., .. } = event.event {
                self.attempt = Some(attempt);
            }
            return Ok(());
        };
        let is_new = self.output_index.replace(stretch.output_index).is_some_and(|index| index != stretch.output_index);
        match self.attempt.take().filter(|_| is_new) {
            Some(attempt) => eprintln!("\nnote: attempt {attempt} begins again here; the text above is discarded"),
            None if is_new => eprintln!("\nnote: a new output item begins here"),
            // The text of an attempt that continues shows no break.
            None => {}
        }
        output::raw(&stretch.delta)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "expected a number of seconds, such as 0.5".to_owned())
}
