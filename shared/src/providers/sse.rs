//! Reads the server-sent events of a response, with a bound on the size of one.
//!
//! The parser is `sse-stream`, the only crate tried that handles a BOM, CR and CRLF line ends, and reads cut within a character.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures::stream::{BoxStream, poll_fn};
use futures::{Stream, StreamExt};
use sse_stream::{Error as SseError, SseByteStream};

use super::{Fault, ProviderError};
use crate::limits::SSE_EVENT_BYTES_MAX;

/// The most events in one batch.
const BATCH_EVENTS_MAX: usize = 512;
/// A batch takes no further event once it has this many bytes.
const BATCH_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error("an event is larger than {SSE_EVENT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("{0}")]
    Broken(String),
}

/// Appended to every body, so that a last event without a blank line is still parsed.
const END_OF_EVENT: &[u8] = b"\n\n";

/// One event's name and data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The event's name.
    pub event: Option<String>,
    /// The data; several `data` lines are joined by line feeds.
    pub data: String,
    /// The body ended before the event did, so the event may be cut off.
    pub is_unterminated: bool,
}

/// The events of a body, without comments and events that have no data. Ends at the end of the body or after an error.
///
/// The standard drops a last event without a blank line. Some servers send their finish reason in one, so it is returned here and
/// marked as [`SseEvent::is_unterminated`].
pub fn sse_events<S, E>(body: S) -> BoxStream<'static, Result<SseEvent, ProviderError>>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + 'static,
{
    // Bytes since the last event. A read may hold several events, so the bound excludes the newest read.
    let unread = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&unread);
    let bounded = body.map(move |read| {
        let bytes = read.map_err(|error| BodyError::Broken(describe(&error)))?;
        let held = counted.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        if held > SSE_EVENT_BYTES_MAX + bytes.len() { Err(BodyError::TooLarge) } else { Ok(bytes) }
    });
    let ended = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&ended);
    let end = futures::stream::once(async move {
        ending.store(true, Ordering::Relaxed);
        Ok(Bytes::from_static(END_OF_EVENT))
    });
    let events = SseByteStream::new(Box::pin(bounded.chain(end))).filter_map(move |parsed| {
        unread.store(0, Ordering::Relaxed);
        let is_unterminated = ended.load(Ordering::Relaxed);
        let event = match parsed {
            Ok(sse) => sse.data.map(|data| Ok(SseEvent { event: sse.event, data, is_unterminated })),
            // The body was cut within a character.
            Err(SseError::Utf8Parse(_)) if is_unterminated => None,
            Err(error) => Some(Err(provider_error(&error))),
        };
        futures::future::ready(event)
    });
    events.boxed()
}

/// The events of a body, in batches of those that are available at once. The session's buffer is bounded in batches.
pub(super) fn batches<S, E>(body: S) -> impl Stream<Item = Vec<Result<SseEvent, ProviderError>>> + Send + Unpin
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + 'static,
{
    let mut events = sse_events(body).fuse();
    poll_fn(move |context| {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_EVENTS_MAX && bytes < BATCH_BYTES {
            match events.poll_next_unpin(context) {
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Ready(None) if batch.is_empty() => return Poll::Ready(None),
                Poll::Pending | Poll::Ready(None) => break,
                Poll::Ready(Some(event)) => {
                    bytes += event.as_ref().map_or(0, |event| event.data.len());
                    batch.push(event);
                }
            }
        }
        Poll::Ready(Some(batch))
    })
}

fn provider_error(error: &SseError) -> ProviderError {
    if let SseError::Body(cause) = error {
        return match cause.downcast_ref::<BodyError>() {
            Some(BodyError::TooLarge) => ProviderError::new(Fault::Unreadable, BodyError::TooLarge.to_string()),
            _ => ProviderError::new(Fault::Interrupted, format!("the provider's stream broke off: {cause}")),
        };
    }
    ProviderError::new(Fault::Unreadable, format!("the provider sent an event that cannot be read: {error}"))
}

/// The innermost cause: more precise than "error decoding response body", and without the URL.
fn describe(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
