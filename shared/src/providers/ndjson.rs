//! Reads newline-delimited JSON, a value for each event, with the same bounds as server-sent events.

use bytes::Bytes;
use futures::stream::unfold;
use futures::{Stream, StreamExt};

use super::sse::{SseEvent, describe};
use super::{Fault, ProviderError};
use crate::limits::SSE_EVENT_BYTES_MAX;

/// What is left of a body.
struct Lines<S> {
    body: S,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    has_ended: bool,
}

/// The lines of a body, in batches of those that end in one read. Empty lines are left out. A last line without an end may be cut
/// off, and is marked as such.
pub(super) fn lines<S, E>(body: S) -> impl Stream<Item = Vec<Result<SseEvent, ProviderError>>> + Send + Unpin + 'static
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    E: std::error::Error + 'static,
{
    let lines = Lines { body, begun: Vec::new(), has_ended: false };
    unfold(lines, |mut lines| async move {
        if lines.has_ended {
            return None;
        }
        let batch = match lines.body.next().await {
            Some(Ok(read)) => lines.read(&read),
            Some(Err(error)) => lines.fail(Fault::Interrupted, format!("the provider's stream broke off: {}", describe(&error))),
            None => {
                lines.has_ended = true;
                event(&std::mem::take(&mut lines.begun), true).into_iter().collect()
            }
        };
        Some((batch, lines))
    })
    .boxed()
}

impl<S> Lines<S> {
    fn read(&mut self, read: &[u8]) -> Vec<Result<SseEvent, ProviderError>> {
        let mut batch = Vec::new();
        let mut rest = read;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.begun.extend_from_slice(&rest[..end]);
            batch.extend(event(&std::mem::take(&mut self.begun), false));
            rest = &rest[end + 1..];
        }
        self.begun.extend_from_slice(rest);
        if self.begun.len() > SSE_EVENT_BYTES_MAX {
            batch.extend(self.fail(Fault::Unreadable, format!("an event is larger than {SSE_EVENT_BYTES_MAX} bytes")));
        }
        batch
    }

    fn fail(&mut self, fault: Fault, message: String) -> Vec<Result<SseEvent, ProviderError>> {
        self.has_ended = true;
        vec![Err(ProviderError::new(fault, message))]
    }
}

fn event(line: &[u8], is_unterminated: bool) -> Option<Result<SseEvent, ProviderError>> {
    match std::str::from_utf8(line) {
        Ok(line) if line.trim().is_empty() => None,
        Ok(line) => Some(Ok(SseEvent { event: None, data: line.trim().to_owned(), is_unterminated })),
        // The body was cut within a character.
        Err(_) if is_unterminated => None,
        Err(error) => {
            let message = format!("the provider sent an event that cannot be read: utf8 parse error: {error}");
            Some(Err(ProviderError::new(Fault::Unreadable, message)))
        }
    }
}
