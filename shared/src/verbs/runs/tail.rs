//! `tail` of a run: its execution log, live. Its entries are numbered by the run's revisions, so that none can be missed unseen.

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use crate::app::App;
use crate::aws::EntryRow;
use crate::error::Error;
use crate::ids::RunKey;
use crate::runs::{Entry, RunStatus};
use crate::verbs::runs::view::RunProgress;

/// The wait before a run is looked at again that has changed, and the longest one, where it has not.
const WAIT: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Rows of the log that are read at once.
const PAGE: usize = 100;

/// An event of a run.
#[derive(Debug, Clone)]
pub struct RunEvent {
    /// The type of an entry, or `progress`.
    pub name: &'static str,
    /// What it tells.
    pub data: RunEventData,
    /// The revision of the run that is told whole with this event; `None`: more events of the same revision follow.
    pub id: Option<u64>,
}

/// What an event of a run tells.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum RunEventData {
    /// An entry of the execution log.
    Entry(LogEntry),
    /// How far the run is.
    Progress {
        /// Its status.
        status: RunStatus,
        /// How far it is.
        progress: RunProgress,
        /// All tokens so far.
        total_tokens: u64,
        /// Micro-dollars so far.
        cost: u64,
        /// The run's revision.
        revision: u64,
    },
}

/// An entry of an execution log, as readers see it.
#[derive(Debug, Clone, Serialize)]
pub struct LogEntry {
    /// The revision of the run that it was entered with.
    pub revision: u64,
    /// When, RFC 3339.
    pub at: String,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Follows a run.
pub struct RunTail {
    app: App,
    key: RunKey,
    seen: u64,
    has_ended: bool,
}

impl App {
    /// Follows a run behind the revision `after`, or from its beginning.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::Aws`].
    pub async fn run_tail(&self, key: &RunKey, after: Option<u64>) -> Result<RunTail, Error> {
        let row = self.run_row(key).await?;
        let is_told = after.is_some_and(|after| after >= row.progress.revision);
        let has_ended = is_told && row.progress.status.is_terminal();
        Ok(RunTail { app: self.clone(), key: key.clone(), seen: after.unwrap_or(0), has_ended })
    }

    /// The execution log of a run.
    pub(super) async fn log_of_run(&self, key: &RunKey) -> Result<Vec<LogEntry>, Error> {
        let (mut log, mut seen) = (Vec::new(), 0);
        loop {
            let rows = self.records.run_entries(key, seen, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(log) };
            seen = last.revision;
            log.extend(rows.into_iter().flat_map(entries));
        }
    }
}

impl RunTail {
    /// Whether the reader knows all there is, for good.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Waits for the next events; `None`: the last one has been told. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]: it was deleted. [`Error::Aws`].
    pub async fn next(&mut self) -> Result<Option<Vec<RunEvent>>, Error> {
        if self.has_ended {
            return Ok(None);
        }
        let mut wait = WAIT;
        loop {
            let row = self.app.run_row(&self.key).await?;
            if self.seen < row.progress.revision {
                let mut rows = self.app.records.run_entries(&self.key, self.seen, PAGE).await?;
                // What was entered since the header was read is told with the next one, whose progress fits it.
                rows.retain(|row_of_log| row_of_log.revision <= row.progress.revision);
                let told = rows.last().map_or(row.progress.revision, |last| last.revision);
                let is_last = told >= row.progress.revision && row.progress.status.is_terminal();
                let mut events: Vec<RunEvent> = rows.into_iter().flat_map(entries).map(event).collect();
                let progress = RunEventData::Progress {
                    status: row.progress.status,
                    progress: RunProgress::of(&row.progress),
                    total_tokens: row.progress.usage.total_tokens,
                    cost: row.progress.cost,
                    revision: row.progress.revision,
                };
                // The terminal event is the last one.
                let at = if is_last { events.len().saturating_sub(1) } else { events.len() };
                events.insert(at, RunEvent { name: "progress", data: progress, id: None });
                if let Some(last) = events.last_mut() {
                    last.id = Some(told);
                }
                (self.seen, self.has_ended) = (told, is_last);
                return Ok(Some(events));
            }
            if row.progress.status.is_terminal() {
                self.has_ended = true;
                return Ok(None);
            }
            sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }
}

fn entries(row: EntryRow) -> impl Iterator<Item = LogEntry> {
    let EntryRow { at, revision, entries } = row;
    entries.into_iter().map(move |entry| LogEntry { revision, at: at.clone(), entry })
}

fn event(entry: LogEntry) -> RunEvent {
    RunEvent { name: entry.entry.entry_type.name(), data: RunEventData::Entry(entry), id: None }
}
