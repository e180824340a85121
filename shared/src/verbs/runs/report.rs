//! The report of a run: what was done, how long it took, what it cost, and whether the result is coherent.

use serde::Serialize;

use crate::app::App;
use crate::error::Error;
use crate::ids::RunKey;
use crate::runs::RunStatus;
use crate::verbs::runs::tail::LogEntry;
use crate::verbs::runs::view::{RunView, StepView};

/// The report of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// Always `run_report`.
    pub object: &'static str,
    /// The run, with its result if it has completed.
    pub run: RunView,
    /// From its place to its end.
    pub duration_ms: Option<u64>,
    /// Whether it completed, and every check of its result is true.
    pub is_coherent: bool,
    /// Its steps, in the order of the document.
    pub steps: Vec<StepView>,
    /// Its execution log.
    pub log: Vec<LogEntry>,
}

impl App {
    /// The report of a run, as it is now.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::Aws`].
    pub async fn run_report(&self, key: &RunKey) -> Result<RunReport, Error> {
        let run = self.run(key).await?;
        let steps = self.run_steps(key).await?.data;
        let log = self.log_of_run(key).await?;
        let is_coherent = run.status == RunStatus::Completed && run.checks.iter().flatten().all(|check| check.ok);
        Ok(RunReport { object: "run_report", duration_ms: run.duration_ms(), is_coherent, run, steps, log })
    }
}
