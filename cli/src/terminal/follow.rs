//! Follows one generation to its end, with live progress.

use std::cell::RefCell;
use std::io::stderr;
use std::time::{Duration, Instant};

use anyhow::bail;
use longhand::ProgressView;
use longhand::generation::Generation;
use longhand_client::{Client, Error, Reply};
use tokio::time::sleep;

use crate::retry::with_retries_after;
use crate::terminal::output::{count, shown, size};
use crate::terminal::ticker::Ticker;

const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A generation that did not complete has its final status as soon as its log has ended, and its result a moment later.
const RESULT_WAIT: Duration = Duration::from_secs(10);

enum State {
    Running(Reply<ProgressView>),
    Ended(Box<Reply<Generation>>),
}

/// Waits until the generation has ended, and returns its record. With `standstill`, it fails when nothing has changed for that
/// long.
pub async fn to_the_end(client: &Client, id: &str, standstill: Option<Duration>) -> anyhow::Result<Reply<Generation>> {
    let ticker = RefCell::new(Ticker::new());
    let began = Instant::now();
    let (mut newest, mut changed, mut ended) = (String::new(), began, None);
    loop {
        match with_retries_after(async || state(client, id).await, || ticker.borrow_mut().clear()).await? {
            State::Ended(record) => {
                let since = *ended.get_or_insert_with(Instant::now);
                if record.compacted_at.is_some() || since.elapsed() > RESULT_WAIT {
                    return Ok(*record);
                }
            }
            State::Running(progress) => {
                let line = describe(&progress, began.elapsed());
                ticker.borrow_mut().show(&line);
                if newest != progress.text {
                    (newest, changed) = (progress.text, Instant::now());
                }
                if standstill.is_some_and(|limit| changed.elapsed() > limit) {
                    bail!("nothing has changed for {} s: {line}", changed.elapsed().as_secs());
                }
            }
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// A generation's status for stderr, with the reason and the message where it did not complete: `failed (rate_limited): …`.
pub fn outcome(record: &Generation) -> String {
    let reason = record.reason.as_ref().or(record.error.as_ref().map(|error| &error.code));
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let message = record.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
    shown(&stderr(), &format!("{}{reason}{message}", record.status.as_str())).into_owned()
}

/// The log may have ended while the result is still being stored. Only the record's status is final.
async fn state(client: &Client, id: &str) -> Result<State, Error> {
    let progress = client.progress(id).await?;
    if !progress.status.is_terminal() {
        return Ok(State::Running(progress));
    }
    let record = client.generation(id).await?;
    Ok(if record.status.is_terminal() { State::Ended(Box::new(record)) } else { State::Running(progress) })
}

fn describe(view: &ProgressView, elapsed: Duration) -> String {
    let progress = &view.progress;
    let received = count(progress.received_chunks, "delta");
    let stored = count(progress.chunk_count, "chunk");
    let bytes = size(progress.received_bytes);
    format!("{}  {received}  {bytes}  in {stored}  {:.1} s", view.status.as_str(), elapsed.as_secs_f64())
}
