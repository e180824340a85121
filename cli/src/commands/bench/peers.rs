//! The provider and the readers of a measurement: in this process, or each in a process of its own (`--separate`), as a user has them.
//!
//! A process of its own is this command with `--peer`. It reads its job from the first line of its standard input, answers in one line of
//! JSON, and ends with its standard input.

use std::io;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use longhand_local::playback::STAMP_BYTES;
use longhand_local::{Playback, Script};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;

use super::process::Process;
use super::reader::{self, Reading, Readings};
use crate::environment;
use crate::terminal::output::line;

/// Where the provider and the readers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Here,
    Separate,
}

/// What a process of its own does.
#[derive(Debug, Deserialize, Serialize)]
enum Job {
    Play(Plan),
    Read(Reading),
}

/// What a provider sends to each request.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Plan {
    pub deltas: usize,
    pub delta_bytes: usize,
    /// Deltas per second; 0 sends as fast as the client reads.
    pub tempo: f64,
    /// Whether deltas have the time at which they are sent.
    pub is_stamped: bool,
}

impl Plan {
    fn script(self) -> Script {
        let delta = format!("{:<1$}", "abc ", self.delta_bytes.max(STAMP_BYTES));
        Script { deltas: vec![delta; self.deltas], stamped: self.is_stamped, tempo: self.tempo, ..Script::default() }
    }
}

/// A running provider. Dropping it stops it.
pub struct Provider {
    base_url: String,
    _playback: Option<Playback>,
    /// Its own process.
    child: Option<Child>,
}

impl Provider {
    /// Plays `script` in this process.
    pub fn playing(script: Script) -> anyhow::Result<Self> {
        let playback = Playback::start(script)?;
        Ok(Self { base_url: playback.base_url().to_owned(), _playback: Some(playback), child: None })
    }

    pub async fn start(plan: Plan, place: Place) -> anyhow::Result<Self> {
        match place {
            Place::Here => Self::playing(plan.script()),
            Place::Separate => {
                let (child, base_url) = spawn(&Job::Play(plan)).await?;
                Ok(Self { base_url, _playback: None, child: Some(child) })
            }
        }
    }

    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// CPU seconds of its own process; 0 where it runs in this one.
    pub fn cpu_seconds(&self) -> f64 {
        self.child.as_ref().and_then(Child::id).map_or(0.0, |id| Process::of(id).cpu_seconds())
    }
}

/// Reads as told, to the end of every stream.
pub async fn read(reading: Reading, place: Place) -> anyhow::Result<Readings> {
    match place {
        Place::Here => reader::read(&reading).await,
        Place::Separate => {
            let (mut child, readings) = spawn(&Job::Read(reading)).await?;
            drop(child.stdin.take());
            child.wait().await?;
            Ok(readings)
        }
    }
}

/// Does the job that standard input tells, in a process that [`spawn`] has started.
pub async fn work() -> anyhow::Result<()> {
    let mut job = String::new();
    io::stdin().read_line(&mut job)?;
    match serde_json::from_str(&job).context("a peer reads its job from its standard input")? {
        Job::Play(plan) => {
            let provider = Playback::start(plan.script())?;
            line(serde_json::to_string(provider.base_url())?)?;
            // Until the other process closes it, or ends.
            spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
        }
        Job::Read(reading) => {
            let before = Process::own().cpu_seconds();
            let readings = reader::read(&reading).await?;
            let cpu_seconds = Process::own().cpu_seconds() - before;
            line(serde_json::to_string(&Readings { cpu_seconds, ..readings })?)?;
        }
    }
    Ok(())
}

/// Starts a process for a job, and returns it with its answer.
async fn spawn<A: DeserializeOwned>(job: &Job) -> anyhow::Result<(Child, A)> {
    let mut command = Command::new(environment::program()?);
    command.args(["bench", "--peer"]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("a process for the provider or the readers cannot start")?;
    let mut input = child.stdin.take().context("it has no standard input")?;
    input.write_all(format!("{}\n", serde_json::to_string(job)?).as_bytes()).await?;
    child.stdin = Some(input);
    let output = child.stdout.take().context("it has no standard output")?;
    let mut answer = String::new();
    BufReader::new(output).read_line(&mut answer).await?;
    if answer.is_empty() {
        bail!("a process for the provider or the readers failed: {}", child.wait().await?);
    }
    Ok((child, serde_json::from_str(&answer).context("a process of the benchmark answered no JSON")?))
}
