//! Follows a run to its end: a line for each change of a step, and how far the run is.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use longhand::quota::dollars;
use longhand::runs::{Entry, EntryType, RunReason, RunStatus};
use longhand::{RunProgress, RunView, StepList, StepView};
use longhand_client::{Client, Error, Method, StatusCode, frames, send};
use serde::Deserialize;
use tokio::time::sleep;

use crate::api::{read, with_query};
use crate::failure;
use crate::options::Format;
use crate::terminal::output::{count, json_line, line};
use crate::terminal::ticker::Ticker;

/// Before the next request, where the last one broke off.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// How long a stack is waited for that has stopped.
const PATIENCE: Duration = Duration::from_mins(1);
/// The length of the longest name of a status.
const STATUS_CHARS: usize = 9;
const TOKENS_CHARS: usize = 8;
const COST_CHARS: usize = 9;

/// The stack has stopped, and may come back.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the stack has stopped")
    }
}

/// What the event `progress` tells.
#[derive(Deserialize)]
struct Now {
    status: RunStatus,
    progress: RunProgress,
    total_tokens: u64,
    cost: u64,
}

/// What the event of an entry tells.
#[derive(Deserialize)]
struct Entered {
    revision: u64,
    #[serde(flatten)]
    entry: Entry,
}

/// Follows one run, over as many connections as it takes.
pub struct Follower {
    id: String,
    format: Format,
    /// The revision behind which the next connection begins.
    after: Option<u64>,
    /// The entry that was printed last: its revision, and its place among the entries of that.
    told: Option<(u64, usize)>,
    columns: Option<Columns>,
    ticker: Ticker,
}

/// The widths of the columns that depend on the pipeline.
struct Columns {
    phase: usize,
    step: usize,
}

impl Follower {
    pub fn new(id: &str, format: Format) -> Self {
        Self { id: id.to_owned(), format, after: None, told: None, columns: None, ticker: Ticker::new() }
    }

    /// Prints what happens in the run until it has ended, and returns it. `connect` is asked for each connection: the stack may have been
    /// started again, somewhere else. One that was there is waited for, for a minute.
    pub async fn run(&mut self, connect: impl AsyncFn() -> anyhow::Result<Client>) -> anyhow::Result<RunView> {
        let mut lost: Option<Instant> = None;
        loop {
            let (client, before) = (connect().await, self.after);
            let followed = match client {
                Ok(client) => self.connection(&client).await,
                Err(error) => {
                    let is_over = lost.is_some_and(|since| since.elapsed() >= PATIENCE);
                    if self.columns.is_none() || is_over {
                        return Err(error);
                    }
                    Err(error.context(Lost))
                }
            };
            if followed.is_ok() || self.after != before {
                lost = None;
            }
            match followed {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => {}
                Err(error) if error.is::<Lost>() || error.downcast_ref::<Error>().is_some_and(Error::is_transient) => {
                    if lost.is_none() {
                        self.ticker.clear();
                        eprintln!("note: {}; coming back", failure::describe(&error));
                    }
                    lost.get_or_insert_with(Instant::now);
                }
                Err(error) => return Err(error),
            }
            sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Prints the events of one connection; returns the run if it has ended.
    async fn connection(&mut self, client: &Client) -> anyhow::Result<Option<RunView>> {
        if self.columns.is_none() {
            let (steps, _): (StepList, String) = read(self.call(client, "/steps")).await?;
            let columns = Columns::of(&steps);
            if !self.format.json {
                line(columns.cells(["PHASE", "STEP", "STATE", "TRY", "TOKENS", "COST", ""]))?;
            }
            self.columns = Some(columns);
        }
        let path = with_query("/events", &[("after", self.after.map(|after| after.to_string()))])?;
        let answer = send(self.call(client, &path).header("accept", "text/event-stream")).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return self.ended(client).await;
        }
        let (mut frames, mut place) = (frames(answer), None);
        while let Some(frame) = frames.next().await {
            let frame = frame?;
            let (Some(name), Some(data)) = (frame.event, frame.data) else { continue };
            if name == "progress" {
                if self.format.json {
                    json_line(&data)?;
                }
                self.show(&serde_json::from_str(&data)?);
            } else {
                let entered: Entered = serde_json::from_str(&data)?;
                place = match place {
                    Some((revision, number)) if revision == entered.revision => Some((revision, number + 1)),
                    _ => Some((entered.revision, 0)),
                };
                // A connection that broke off within a revision is followed by one that tells it whole.
                if place > self.told {
                    if self.format.json {
                        json_line(&data)?;
                    } else {
                        self.print(client, &entered.entry).await?;
                    }
                    self.told = place;
                }
            }
            // Behind the event: one that is cut off before its number is told again.
            self.after = frame.id.and_then(|id| id.parse().ok()).or(self.after);
        }
        self.ended(client).await
    }

    fn call(&self, client: &Client, rest: &str) -> longhand_client::RequestBuilder {
        client.request(Method::GET, &format!("/v1/runs/{}{rest}", self.id))
    }

    /// The run, if it has ended. A stream also ends with the function that writes it.
    async fn ended(&mut self, client: &Client) -> anyhow::Result<Option<RunView>> {
        let (run, _): (RunView, String) = read(self.call(client, "")).await?;
        self.ticker.clear();
        Ok(run.status.is_terminal().then_some(run))
    }

    /// How far the run is, on stderr.
    fn show(&mut self, now: &Now) {
        let Now { status, progress, total_tokens, cost } = now;
        let steps = format!("{}/{} steps", progress.completed_steps, progress.total_steps);
        let text = format!(
            "{}  {}  {steps}  {} %  {}  {}",
            status.name(),
            progress.message,
            progress.percentage,
            count(*total_tokens, "token"),
            dollars(*cost)
        );
        self.ticker.show(&text);
    }

    /// One entry of the execution log. What a step used, over all its tries, is the step's own to tell once it has ended.
    async fn print(&mut self, client: &Client, entry: &Entry) -> anyhow::Result<()> {
        let (Some(columns), Some(id)) = (&self.columns, &entry.step) else {
            if matches!(entry.entry_type, EntryType::CancelRequested) {
                self.ticker.clear();
                line(&entry.message)?;
            }
            return Ok(());
        };
        let state = match entry.entry_type {
            EntryType::StepStarted => "running",
            EntryType::StepCompleted => "completed",
            EntryType::StepRetried => "retried",
            EntryType::StepSkipped => "skipped",
            EntryType::StepFailed => "failed",
            _ => return Ok(()),
        };
        let (step, _): (StepView, String) = read(self.call(client, &format!("/steps/{id}"))).await?;
        let row = columns.row(state, &step, entry);
        self.ticker.clear();
        Ok(line(row)?)
    }
}

impl Columns {
    fn of(steps: &StepList) -> Self {
        let longest = |head: &str, cell: &dyn Fn(&StepView) -> usize| steps.data.iter().map(cell).chain([head.len()]).max();
        let phase = longest("PHASE", &|step| step.phase.as_deref().map_or(0, |phase| phase.chars().count()));
        let step = longest("STEP", &|step| step.id.chars().count());
        Self { phase: phase.unwrap_or_default(), step: step.unwrap_or_default() }
    }

    fn row(&self, state: &str, step: &StepView, entry: &Entry) -> String {
        let number = entry.number.unwrap_or(step.tries);
        let tries = format!("{number}/{}", step.tries_max);
        let is_over = matches!(entry.entry_type, EntryType::StepCompleted | EntryType::StepFailed);
        let tokens = if is_over { step.usage.total_tokens.to_string() } else { String::new() };
        let cost = if is_over { dollars(step.cost) } else { String::new() };
        let why = match entry.entry_type {
            EntryType::StepRetried | EntryType::StepFailed => entry.message.as_str(),
            _ => step.title.as_str(),
        };
        self.cells([step.phase.as_deref().unwrap_or_default(), &step.id, state, &tries, &tokens, &cost, why])
    }

    fn cells(&self, [phase, step, state, tries, tokens, cost, why]: [&str; 7]) -> String {
        let Self { phase: phase_chars, step: step_chars } = self;
        let row = format!(
            "{phase:phase_chars$}  {step:step_chars$}  {state:STATUS_CHARS$}  {tries:>5}  {tokens:>TOKENS_CHARS$}  {cost:>COST_CHARS$}  {why}"
        );
        row.trim_end().to_owned()
    }
}

/// How a run ended, in one line.
pub fn told(run: &RunView) -> String {
    let reason = run.reason.map(RunReason::name).filter(|reason| *reason != run.status.name());
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let error = run.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
    let (progress, tokens) = (&run.progress, count(run.token_usage.total_tokens, "token"));
    let steps = format!("{} of {} steps", progress.completed_steps, progress.total_steps);
    format!("{}{reason}: {steps}, {tokens}, {}{error}", run.status.name(), dollars(run.cost))
}

/// The exit code of a run that has ended.
pub fn outcome(run: &RunView) -> ExitCode {
    if run.status == RunStatus::Completed { ExitCode::SUCCESS } else { failure::not_completed() }
}
