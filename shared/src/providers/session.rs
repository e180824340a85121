//! One attempt at a provider: the request, its timeouts, and new tries for as long as nothing has been received.
//!
//! A second request is a new generation at the provider, billed apart; so once a delta has come there is none from here.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{Delta, Fault, Provider, ProviderError, Timeouts};
use crate::clock::backoff;
use crate::generation::request::Request;
use crate::limits;

/// Batches of deltas that wait between the reader and the writer. Beyond them the provider is read no further.
const BATCHES_WAITING_MAX: usize = 16;

/// A provider's deltas, read by a task of their own. Dropping it closes the connection upstream.
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

/// What a provider is asked, and how patiently.
#[derive(Debug, Clone)]
pub struct Asking {
    /// The request.
    pub request: Arc<Request>,
    /// The answer so far, to go on from; empty at first.
    pub prefix: String,
    /// The limits on waiting.
    pub timeouts: Timeouts,
    /// Requests at most, while nothing has been received.
    pub tries_max: u32,
    /// No request is begun after this.
    pub give_up_at: Instant,
}

/// Asks `provider`.
#[must_use]
pub fn open_session(provider: Arc<dyn Provider>, asking: Asking) -> Session {
    let (sender, deltas) = mpsc::channel(BATCHES_WAITING_MAX);
    let reads = async move {
        if let Err(error) = ask_until_received(provider.as_ref(), &asking, &sender).await {
            // The writer may be gone: then nobody wants to know.
            let _ = sender.send(Err(error)).await;
        }
    };
    Session { deltas, _reader: AbortOnDropHandle::new(tokio::spawn(reads.in_current_span())) }
}

type Sender = mpsc::Sender<Result<Vec<Delta>, ProviderError>>;

async fn ask_until_received(provider: &dyn Provider, asking: &Asking, sender: &Sender) -> Result<(), ProviderError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut received = false;
        let Err(error) = ask(provider, asking, sender, &mut received).await else { return Ok(()) };
        let wait = error.retry_after.unwrap_or_else(|| backoff(limits::PROVIDER_BACKOFF, limits::PROVIDER_BACKOFF_MAX, tries));
        let in_time = Instant::now().checked_add(wait).is_some_and(|at| at < asking.give_up_at);
        if received || !error.is_retryable() || tries >= asking.tries_max || !in_time {
            return Err(error);
        }
        tracing::info!(
            "error.type" = error.fault.code(),
            tries,
            wait_ms = wait.as_millis(),
            "The provider is asked again: nothing was received."
        );
        sleep(wait).await;
    }
}

async fn ask(provider: &dyn Provider, asking: &Asking, sender: &Sender, received: &mut bool) -> Result<(), ProviderError> {
    let timeouts = asking.timeouts;
    let mut limit = Instant::now() + timeouts.first_byte;
    let mut stream =
        timeout_at(limit, provider.open(&asking.request, &asking.prefix)).await.map_err(|_| first_byte_timeout(timeouts))??;
    let mut finished = false;
    loop {
        let deltas = match timeout_at(limit, futures::StreamExt::next(&mut stream)).await {
            // What comes after the finish reason is usage; without it the output is whole all the same.
            Err(_) | Ok(None | Some(Err(_))) if finished => return Ok(()),
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
        let had_finished = finished;
        finished |= deltas.iter().any(|delta| matches!(delta, Delta::Finish(_)));
        if sender.send(Ok(deltas)).await.is_err() {
            return Ok(());
        }
        // Counted from here: the wait for a writer that is slow is no silence of the provider.
        // And until there is text, the provider thinks: a role or a ping is no first token.
        if !had_finished && (*received || finished) {
            limit = Instant::now() + if finished { limits::AFTER_FINISH_WAIT } else { timeouts.idle };
        }
    }
}

const fn has_text(delta: &Delta) -> bool {
    match delta {
        Delta::Text(text) | Delta::Reasoning(text) | Delta::Refusal(text) => !text.is_empty(),
        Delta::ToolCall(_) => true,
        Delta::Usage(_) | Delta::Model(_) | Delta::Finish(_) => false,
    }
}

fn first_byte_timeout(timeouts: Timeouts) -> ProviderError {
    let message = format!("the provider sent nothing within {} ms", timeouts.first_byte.as_millis());
    ProviderError::new(Fault::FirstByteTimeout, message)
}

fn idle_timeout(timeouts: Timeouts) -> ProviderError {
    let message = format!("the provider fell silent for {} ms before a finish reason", timeouts.idle.as_millis());
    ProviderError::new(Fault::IdleTimeout, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;
    use futures::future::BoxFuture;

    use super::super::DeltaStream;
    use super::*;

    /// Says more at once than a session holds, is silent for a moment, and finishes.
    struct Talkative;

    impl Provider for Talkative {
        fn open<'a>(&'a self, _request: &'a Request, _prefix: &'a str) -> BoxFuture<'a, Result<DeltaStream, ProviderError>> {
            let said = futures::stream::iter((0..=BATCHES_WAITING_MAX).map(|_| Ok(vec![Delta::Text("a".into())])));
            let finish = futures::stream::once(async {
                sleep(Duration::from_millis(20)).await;
                Ok(vec![Delta::Finish("stop".into())])
            });
            Box::pin(async { Ok(said.chain(finish).boxed()) })
        }
    }

    #[tokio::test]
    async fn a_writer_that_is_slow_is_no_silence_of_the_provider() {
        let request = Arc::new(serde_json::from_value(serde_json::json!({ "model": "m" })).unwrap());
        let idle = Duration::from_millis(200);
        let timeouts = Timeouts { idle, ..Timeouts::default() };
        let give_up_at = Instant::now() + timeouts.generation;
        let asking = Asking { request, prefix: String::new(), timeouts, tries_max: 1, give_up_at };
        let mut session = open_session(Arc::new(Talkative), asking);
        sleep(idle * 2).await;
        let mut last = None;
        while let Some(deltas) = session.next().await {
            last = Some(deltas);
        }
        assert_eq!(last, Some(Ok(vec![Delta::Finish("stop".into())])));
    }
}
