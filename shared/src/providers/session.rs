//! One attempt at a provider: the request, its timeouts, and retries while nothing has been received.
//!
//! The provider bills each request, so nothing is retried here once text has been received.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{Delta, Fault, FinishMeaning, FinishReason, Provider, ProviderError, Resume, Timeouts, Upstream};
use crate::generation::request::Request;
use crate::limits;
use crate::retry::{Retryable, exponential};

/// Batches of deltas buffered between the reader and the writer. When the buffer is full, reading from the provider pauses.
const BATCHES_WAITING_MAX: usize = 16;

/// A provider's deltas, read by a task of its own. Dropping the session closes the connection upstream.
pub struct Session {
    deltas: mpsc::Receiver<Result<Vec<Delta>, ProviderError>>,
    _reader: AbortOnDropHandle<()>,
}

impl Session {
    /// The next deltas. `None` comes only after a finish reason; an error is the last thing that comes.
    pub async fn next(&mut self) -> Option<Result<Vec<Delta>, ProviderError>> {
        self.deltas.recv().await
    }
}

/// A request to a provider, with the bounds on waiting.
#[derive(Debug, Clone)]
pub struct SessionRequest {
    /// The request.
    pub request: Arc<Request>,
    /// Where it begins.
    pub resume: Resume,
    /// The limits on waiting.
    pub timeouts: Timeouts,
    /// The most requests sent while nothing has been received; at least one is sent.
    pub tries_max: u32,
    /// No retry is sent from this moment on.
    pub give_up_at: Instant,
}

/// Sends the request and reads the stream, in a task of its own.
#[must_use]
pub fn open_session(provider: Arc<dyn Provider>, session: SessionRequest) -> Session {
    let (sender, deltas) = mpsc::channel(BATCHES_WAITING_MAX);
    let reads = async move {
        if let Err(error) = stream_with_retries(provider.as_ref(), &session, &sender).await {
            // The receiver may have been dropped; then nobody needs the error.
            let _ = sender.send(Err(error)).await;
        }
    };
    Session { deltas, _reader: AbortOnDropHandle::new(tokio::spawn(reads.in_current_span())) }
}

type Sender = mpsc::Sender<Result<Vec<Delta>, ProviderError>>;

/// The error that ended a try, and whether the same session may try again.
struct Failed {
    error: ProviderError,
    is_final: bool,
}

async fn stream_with_retries(provider: &dyn Provider, session: &SessionRequest, sender: &Sender) -> Result<(), ProviderError> {
    let retries = session.tries_max.saturating_sub(1) as usize;
    let mut tries = 0;
    let position = Mutex::new(session.resume.clone());
    let position = &position;
    (|| async move {
        let mut received = false;
        stream_once(provider, session, position, sender, &mut received).await.map_err(|error| {
            let is_over = error.fault == Fault::ReportedError && is_kept(position);
            // The response has failed for good, and a new one is another answer than the one that the caller has begun to read.
            let is_final = received || !error.is_retryable() || (is_over && session.resume != Resume::Fresh);
            if is_over {
                set(position, Resume::Fresh);
            }
            Failed { error, is_final }
        })
    })
    .retry(exponential(limits::PROVIDER_BACKOFF, limits::PROVIDER_BACKOFF_MAX, retries))
    .when(|failed| !failed.is_final)
    .adjust(|failed, wait| wait_in_time(&failed.error, wait, session.give_up_at))
    .notify(|failed, wait| {
        tries += 1;
        tracing::info!(
            "error.type" = failed.error.fault.code(),
            tries,
            wait_ms = wait.as_millis(),
            "The request to the provider is retried: nothing was received."
        );
    })
    .await
    .map_err(|failed| failed.error)
}

/// The wait before the next try: the provider's own, or else `scheduled`. `None`: no tries are left, or the wait would not end
/// before `give_up_at`.
fn wait_in_time(error: &ProviderError, scheduled: Option<Duration>, give_up_at: Instant) -> Option<Duration> {
    let wait = error.retry_after.unwrap_or(scheduled?);
    Instant::now().checked_add(wait).is_some_and(|at| at < give_up_at).then_some(wait)
}

fn set(position: &Mutex<Resume>, resume: Resume) {
    *position.lock().unwrap_or_else(PoisonError::into_inner) = resume;
}

/// Moves on to where a response that the provider keeps was read. A place that cannot be continued does not replace one that can: no text
/// came between the two, and another try from the beginning would bring again what came before.
fn move_on(position: &Mutex<Resume>, upstream: &Upstream) {
    let mut position = position.lock().unwrap_or_else(PoisonError::into_inner);
    if upstream.cursor.is_some() || !matches!(*position, Resume::Upstream(Upstream { cursor: Some(_), .. })) {
        *position = Resume::Upstream(upstream.clone());
    }
}

/// Whether what is read is a response that the provider keeps.
fn is_kept(position: &Mutex<Resume>) -> bool {
    matches!(*position.lock().unwrap_or_else(PoisonError::into_inner), Resume::Upstream(_))
}

/// `position`: where it begins; moves on with what is read of a response that the provider keeps, so that another try reads the same
/// response.
async fn stream_once(
    provider: &dyn Provider,
    session: &SessionRequest,
    position: &Mutex<Resume>,
    sender: &Sender,
    received: &mut bool,
) -> Result<(), ProviderError> {
    let timeouts = session.timeouts;
    let mut limit = Instant::now() + timeouts.first_byte;
    let resume = position.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut stream =
        timeout_at(limit, provider.open(&session.request, &resume)).await.map_err(|_| first_byte_timeout(timeouts))??;
    let mut finish = Finish::None;
    loop {
        let deltas = match timeout_at(limit, futures::StreamExt::next(&mut stream)).await {
            // Only usage follows a final finish reason; the output is whole without it.
            Ok(Some(Err(_))) if finish == Finish::Final => return Ok(()),
            Err(_) | Ok(None) if finish != Finish::None => return Ok(()),
            Err(_) if *received => return Err(idle_timeout(timeouts)),
            Err(_) => return Err(first_byte_timeout(timeouts)),
            Ok(None) => {
                let message = "the provider's stream ended without a finish reason";
                return Err(ProviderError::new(Fault::Interrupted, message));
            }
            Ok(Some(Err(error))) => return Err(error),
            Ok(Some(Ok(deltas))) => deltas,
        };
        *received |= deltas.iter().any(has_text);
        if let Some(Delta::Upstream(upstream)) = deltas.last() {
            move_on(position, upstream);
        }
        let (had_finished, is_alive) = (finish, deltas.contains(&Delta::Alive));
        finish = deltas.iter().fold(finish, Finish::after);
        if sender.send(Ok(deltas)).await.is_err() {
            return Ok(());
        }
        // The limit starts after the send: waiting for a slow writer is not silence of the provider. Before the first text the
        // first-byte limit stays: a role or a ping is not a first token.
        if finish == Finish::Final {
            if had_finished != Finish::Final {
                limit = Instant::now() + limits::AFTER_FINISH_WAIT;
            }
        } else if *received || finish == Finish::Open {
            limit = Instant::now() + timeouts.idle;
        } else if is_alive {
            limit = Instant::now() + timeouts.first_byte;
        }
    }
}

/// Whether the provider has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    None,
    /// It named a finish reason, but may go on: it named one with its output, or has gone on before.
    Open,
    /// It named a finish reason, and nothing but usage is expected.
    Final,
}

impl Finish {
    const fn after(self, delta: &Delta) -> Self {
        match delta {
            // An error follows.
            Delta::Finish(FinishReason { meaning: Some(FinishMeaning::Failed), .. }) => self,
            Delta::Finish(reason) if reason.is_final => Self::Final,
            Delta::Finish(_) => Self::Open,
            _ if matches!(self, Self::Final) && has_text(delta) => Self::Open,
            _ => self,
        }
    }
}

const fn has_text(delta: &Delta) -> bool {
    match delta {
        Delta::Text(text) | Delta::Reasoning(text) | Delta::Refusal(text) => !text.is_empty(),
        Delta::ToolCall(_) => true,
        Delta::Usage(_) | Delta::Model(_) | Delta::Alive | Delta::Upstream(_) | Delta::Finish(_) => false,
    }
}

fn first_byte_timeout(timeouts: Timeouts) -> ProviderError {
    let message = format!("the provider sent nothing within {} ms", timeouts.first_byte.as_millis());
    ProviderError::new(Fault::FirstByteTimeout, message)
}

fn idle_timeout(timeouts: Timeouts) -> ProviderError {
    let message = format!("the provider sent nothing for {} ms before a finish reason", timeouts.idle.as_millis());
    ProviderError::new(Fault::IdleTimeout, message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::StreamExt;
    use futures::future::BoxFuture;
    use tokio::time::sleep;

    use super::super::DeltaStream;
    use super::*;

    fn stop() -> Delta {
        let word = "stop".to_owned();
        Delta::Finish(FinishReason { word, meaning: Some(FinishMeaning::Completed), is_final: true })
    }

    /// Sends more at once than a session buffers, pauses, and finishes.
    struct Talkative;

    impl Provider for Talkative {
        fn open<'a>(&'a self, _request: &'a Request, _resume: &'a Resume) -> BoxFuture<'a, Result<DeltaStream, ProviderError>> {
            let text = futures::stream::iter((0..=BATCHES_WAITING_MAX).map(|_| Ok(vec![Delta::Text("a".into())])));
            let finish = futures::stream::once(async {
                sleep(Duration::from_millis(20)).await;
                Ok(vec![stop()])
            });
            Box::pin(async { Ok(text.chain(finish).boxed()) })
        }

        fn cancel<'a>(&'a self, _response_id: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
            Box::pin(async { Ok(()) })
        }
    }

    /// Fails every request with an error that may be retried at once, and counts them.
    struct Unavailable {
        requests: AtomicU32,
    }

    impl Provider for Unavailable {
        fn open<'a>(&'a self, _request: &'a Request, _resume: &'a Resume) -> BoxFuture<'a, Result<DeltaStream, ProviderError>> {
            self.requests.fetch_add(1, Ordering::Relaxed);
            let error = ProviderError::new(Fault::Unavailable, "down").with_retry_after(Some(Duration::ZERO));
            Box::pin(async { Err(error) })
        }

        fn cancel<'a>(&'a self, _response_id: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
            Box::pin(async { Ok(()) })
        }
    }

    fn session_request(timeouts: Timeouts, tries_max: u32) -> SessionRequest {
        let request = Arc::new(serde_json::from_value(serde_json::json!({ "model": "m" })).unwrap());
        let give_up_at = Instant::now() + timeouts.generation;
        SessionRequest { request, resume: Resume::Fresh, timeouts, tries_max, give_up_at }
    }

    #[tokio::test]
    async fn tries_are_bounded() {
        for (tries_max, requests) in [(0, 1), (1, 1), (4, 4)] {
            let provider = Arc::new(Unavailable { requests: AtomicU32::new(0) });
            let request = session_request(Timeouts::default(), tries_max);
            let mut session = open_session(Arc::clone(&provider) as Arc<dyn Provider>, request);
            assert_eq!(session.next().await.unwrap().unwrap_err().fault, Fault::Unavailable);
            assert_eq!(provider.requests.load(Ordering::Relaxed), requests);
        }
    }

    #[test]
    fn retry_after_replaces_the_schedule_within_its_bounds() {
        let (second, minute, hour) = (Duration::from_secs(1), Duration::from_mins(1), Duration::from_hours(1));
        let error = |retry_after| ProviderError::new(Fault::RateLimited, "").with_retry_after(retry_after);
        let wait = |retry_after, scheduled, left| wait_in_time(&error(retry_after), scheduled, Instant::now() + left);
        assert_eq!(wait(None, Some(second), minute), Some(second));
        assert_eq!(wait(Some(minute), Some(second), hour), Some(minute));
        assert_eq!(wait(Some(Duration::ZERO), Some(second), hour), Some(Duration::ZERO));
        assert_eq!(wait(Some(second), None, hour), None, "no tries are left");
        assert_eq!(wait(Some(minute), Some(second), minute), None, "the wait ends too late");
        assert_eq!(wait(None, Some(minute), second), None);
        assert_eq!(wait(Some(Duration::MAX), Some(second), hour), None);
    }

    #[tokio::test]
    async fn slow_writer_is_not_silence_of_the_provider() {
        let idle = Duration::from_millis(200);
        let timeouts = Timeouts { idle, ..Timeouts::default() };
        let mut session = open_session(Arc::new(Talkative), session_request(timeouts, 1));
        sleep(idle * 2).await;
        let mut last = None;
        while let Some(deltas) = session.next().await {
            last = Some(deltas);
        }
        assert_eq!(last, Some(Ok(vec![stop()])));
    }
}
