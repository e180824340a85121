//! Calls of the API, retried while it does not answer.

use std::io::stderr;
use std::time::Duration;

use longhand::retry::{Retryable as _, exponential};
use longhand_client::Error;

use crate::terminal::output::shown;

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The sum of the waits after which a call is given up.
const WAITS: Duration = Duration::from_mins(1);

/// Makes a call until it succeeds. A failure that may pass is printed on stderr and retried, for a minute of waits; of several in
/// a row, the first is printed.
///
/// # Errors
/// A failure that cannot pass, or the last one.
pub async fn with_retries<T>(call: impl AsyncFn() -> Result<T, Error>) -> anyhow::Result<T> {
    with_retries_after(call, || {}).await
}

/// The same. `before_note` runs before anything is printed.
pub async fn with_retries_after<T>(call: impl AsyncFn() -> Result<T, Error>, mut before_note: impl FnMut()) -> anyhow::Result<T> {
    let mut is_noted = false;
    let note = |error: &Error, _| {
        if !is_noted {
            before_note();
            eprintln!("note: {}; trying again", shown(&stderr(), &error.to_string()));
            is_noted = true;
        }
    };
    let schedule = exponential(FIRST_WAIT, LONGEST_WAIT, usize::MAX).with_total_delay(Some(WAITS));
    let result = (|| call()).retry(schedule).when(Error::is_transient).notify(note).adjust(wait_for).await;
    result.map_err(|error| {
        let is_transient = error.is_transient();
        let error = anyhow::Error::new(error);
        if is_transient { error.context(format!("gave up after {} s", WAITS.as_secs())) } else { error }
    })
}

/// The API's own `Retry-After` where that is longer; no further try where it is longer than all waits.
fn wait_for(error: &Error, wait: Option<Duration>) -> Option<Duration> {
    let asked = error.problem().and_then(|problem| problem.retry_after).unwrap_or_default();
    wait.map(|wait| wait.max(asked)).filter(|wait| *wait <= WAITS)
}
