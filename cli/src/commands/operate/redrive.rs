//! `longhand redrive`: repeats the events that Lambda gave up on, from the messages in the on-failure queues.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use longhand::aws::{QueueMessage, Queues};
use longhand::notifications::delivery::DeliverJob;
use longhand::{App, GenerationKey, GivenUp, Redriven};
use serde_json::json;

use crate::failure;
use crate::operator::{Deployment, DeploymentArgs};
use crate::options::Format;
use crate::terminal::output::{count, line};

/// How long a message is hidden from other consumers while this command handles it.
const HIDDEN: Duration = Duration::from_mins(5);

/// Repeat the events that Lambda gave up on, and delete their messages from the on-failure queues; safe to repeat
#[derive(Args, Clone, Debug)]
pub struct RedriveArgs {
    /// Only report what would be done; every message is kept
    #[arg(long)]
    dry_run: bool,
    /// An on-failure queue of the deployment: `StreamFailures`, `CompactFailures`, `SettleFailures` and `DeliverFailures` of the stack's outputs,
    /// `JobFailures` of a fleet's
    #[arg(long = "queue", value_name = "URL", required_if_eq("aws", "true"))]
    queues: Vec<String>,
    #[command(flatten)]
    deployment: DeploymentArgs,
    #[command(flatten)]
    format: Format,
}

/// The outcome of one message.
struct Outcome {
    about: String,
    did: Result<String, String>,
}

struct Redrive<'a> {
    app: &'a App,
    queues: &'a Queues,
    apply: bool,
    json: bool,
    done: u64,
    kept: u64,
}

pub async fn run(args: RedriveArgs) -> anyhow::Result<ExitCode> {
    let Deployment { app, queues, queue_urls } = args.deployment.open().await?;
    let (apply, json) = (!args.dry_run, args.format.json);
    let mut redrive = Redrive { app: &app, queues: &queues, apply, json, done: 0, kept: 0 };
    for url in if args.queues.is_empty() { queue_urls } else { args.queues } {
        redrive.queue(&url).await?;
    }
    let (done, kept) = (count(redrive.done, "message"), count(redrive.kept, "message"));
    if args.dry_run {
        eprintln!("dry run: {done} would be done and deleted, {kept} would be kept");
    } else {
        eprintln!("{done} done and deleted, {kept} kept");
    }
    Ok(if redrive.kept == 0 { ExitCode::SUCCESS } else { failure::failed() })
}

impl Redrive<'_> {
    /// Handles every message in the queue. Messages whose work fails are returned to it.
    async fn queue(&mut self, url: &str) -> anyhow::Result<()> {
        let (mut batches, mut left) = (Vec::new(), Vec::new());
        loop {
            let messages = self.queues.receive(url, HIDDEN).await?;
            if messages.is_empty() {
                break;
            }
            for message in messages {
                let outcome = match GivenUp::read(&message.body) {
                    Ok(GivenUp::Compact(records)) => {
                        batches.push((message, records));
                        continue;
                    }
                    Ok(GivenUp::Settle { records, since_ms }) => {
                        Outcome { about: format!("settle, {}", count(records, "record")), did: self.settle_again(since_ms).await }
                    }
                    Ok(GivenUp::Stream(job)) => self.job(&job.keys()).await,
                    Ok(GivenUp::Deliver(job)) => self.deliver(&job).await,
                    Err(why) => Outcome { about: "unknown".into(), did: Err(why) },
                };
                left.extend(self.settle(url, message, &outcome).await?);
            }
        }
        if !batches.is_empty() {
            let did = self.compact().await?;
            for (message, records) in batches {
                let outcome = Outcome { about: format!("compact, {}", count(records, "record")), did: did.clone() };
                left.extend(self.settle(url, message, &outcome).await?);
            }
        }
        for message in left {
            self.queues.give_back(url, &message).await?;
        }
        Ok(())
    }

    /// The generations of one job, each by itself. The message is kept for as long as one of them fails.
    async fn job(&self, keys: &[GenerationKey]) -> Outcome {
        let (mut about, mut did) = (Vec::new(), Ok(Vec::new()));
        for key in keys {
            let outcome = self.stream(key).await;
            about.push(key.to_string());
            did = did.and_then(|mut done| outcome.did.map(|one| done.push(one)).map(|()| done));
        }
        Outcome { about: format!("stream {}", about.join(", ")), did: did.map(|done| done.join("; ")) }
    }

    async fn deliver(&self, job: &DeliverJob) -> Outcome {
        let did = if self.apply { self.app.redrive_deliveries(job).await } else { Ok(()) };
        let words = if self.apply { "invoked again" } else { "would be invoked again" };
        let about = format!("deliver, {}", count(job.deliveries.len() as u64, "delivery"));
        Outcome { about, did: did.map(|()| words.to_owned()).map_err(|error| error.to_string()) }
    }

    async fn stream(&self, key: &GenerationKey) -> Outcome {
        let words = |redriven| match redriven {
            Redriven::Gone => "nothing to do: there is no such generation any more",
            Redriven::HadEnded => "nothing to do: it has ended",
            Redriven::Busy => "nothing to do: a writer is at it",
            Redriven::Compacted if self.apply => "compacted: its log had ended",
            Redriven::Compacted => "would be compacted: its log has ended",
            Redriven::Invoked if self.apply => "invoked again",
            Redriven::Invoked => "would be invoked again",
        };
        let did = self.app.redrive(key, self.apply).await;
        Outcome { about: format!("stream {key}"), did: did.map(|did| words(did).into()).map_err(|error| error.to_string()) }
    }

    /// A message of `settle` does not name its generations either, but when the first of them ended.
    async fn settle_again(&self, since_ms: i64) -> Result<String, String> {
        let settled = self.app.catch_up_settling(since_ms, self.apply).await.map_err(|error| error.to_string())?;
        let verb = if self.apply { "were" } else { "would be" };
        Ok(format!("{} that nobody had settled {verb} settled", count(settled, "generation")))
    }

    /// A message of `compact` does not name its generations. Its work is done when every log that has ended is compacted.
    async fn compact(&self) -> anyhow::Result<Result<String, String>> {
        let caught_up = self.app.catch_up(self.apply).await?;
        let logs = count(caught_up.compacted.len() as u64, "log");
        if let Some((key, error)) = caught_up.failed.first() {
            let others = caught_up.failed.len() - 1;
            return Ok(Err(format!("{key} cannot be compacted: {error}; nor can {others} others; {logs} could be")));
        }
        let verb = if self.apply { "were" } else { "would be" };
        Ok(Ok(format!("{logs} that nobody had compacted {verb} compacted")))
    }

    /// Reports the outcome, and deletes the message if its work is done; returns the message otherwise.
    async fn settle(&mut self, url: &str, message: QueueMessage, outcome: &Outcome) -> anyhow::Result<Option<QueueMessage>> {
        let (did, is_done) = match &outcome.did {
            Ok(did) => (did.clone(), true),
            Err(why) => (format!("kept: {why}"), false),
        };
        if is_done && self.apply {
            self.queues.delete(url, &message).await?;
        }
        if self.json {
            line(
                json!({ "message": message.id, "queue": url, "about": outcome.about, "did": did, "is_done": is_done && self.apply }),
            )?;
        } else {
            line(format!("{}  {}  {did}", message.id, outcome.about))?;
        }
        *(if is_done { &mut self.done } else { &mut self.kept }) += 1;
        Ok(Some(message).filter(|_| !(is_done && self.apply)))
    }
}
