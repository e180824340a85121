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

/// The beginning of a line that shows whether it holds a JSON value: `data: {`.
const LINE_BEGIN_BYTES: usize = 7;

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
    let mut separator = Separator::default();
    let separated = body.map(move |read| read.map(|bytes| separator.separate(bytes)));
    let mut events = sse_events(separated).fuse();
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

/// Ends an event at each `data` line with a whole JSON value, if the next line is a `data` line as well: some gateways leave out the
/// blank line between events. By the standard both lines are one event, whose data no reader could parse, and which would not end
/// before the response does.
#[derive(Debug, Default)]
struct Separator {
    /// The beginning of the current line: as much as shows what it holds.
    line: Vec<u8>,
    /// The last byte of the current line that is not a space.
    last: u8,
    /// The event so far ends with a `data` line with a whole JSON value.
    is_whole: bool,
    /// The newest read ended with a carriage return, whose line feed may follow.
    is_behind_return: bool,
}

impl Separator {
    fn separate(&mut self, bytes: Bytes) -> Bytes {
        let mut separated = Vec::new();
        let (mut copied, mut at) = (0, 0);
        while at < bytes.len() {
            let end = memchr::memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |length| at + length);
            // No other field begins with a d.
            if self.line.is_empty() && self.is_whole && bytes[at] == b'd' {
                separated.extend_from_slice(&bytes[copied..at]);
                // A line feed right behind a carriage return would end the same line.
                separated.extend_from_slice(if self.is_behind_return { b"\n\n" } else { b"\n" });
                (copied, self.is_whole) = (at, false);
            }
            self.read(&bytes[at..end]);
            if let Some(line_end) = bytes.get(end) {
                self.end_line(*line_end, at == end);
            }
            at = end + 1;
        }
        if separated.is_empty() {
            return bytes;
        }
        separated.extend_from_slice(&bytes[copied..]);
        separated.into()
    }

    fn read(&mut self, part: &[u8]) {
        let wanted = LINE_BEGIN_BYTES.saturating_sub(self.line.len()).min(part.len());
        self.line.extend_from_slice(&part[..wanted]);
        if let Some(last) = part.iter().rev().find(|byte| **byte != b' ') {
            self.last = *last;
        }
        self.is_behind_return &= part.is_empty();
    }

    fn end_line(&mut self, line_end: u8, is_at_once: bool) {
        let is_second_half = line_end == b'\n' && self.is_behind_return && is_at_once;
        self.is_behind_return = line_end == b'\r';
        if is_second_half {
            return;
        }
        let value = self.line.strip_prefix(b"data:").map(|value| value.strip_prefix(b" ").unwrap_or(value));
        match value.and_then(<[u8]>::first) {
            Some(first) => self.is_whole = matches!((first, self.last), (b'{', b'}') | (b'[', b']') | (b'n', b'l')),
            None if self.line.is_empty() => self.is_whole = false,
            None => {}
        }
        self.line.clear();
        self.last = 0;
    }
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
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn separate(text: &str, cuts: &[usize]) -> String {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let mut separator = Separator::default();
        let reads = cuts.windows(2).map(|cut| separator.separate(Bytes::copy_from_slice(&text.as_bytes()[cut[0]..cut[1]])));
        String::from_utf8(reads.collect::<Vec<_>>().concat()).unwrap()
    }

    #[test]
    fn events_without_a_blank_line_are_separated() {
        for (body, expected) in [
            ("data: {}\ndata: {}\n", "data: {}\n\ndata: {}\n"),
            ("data:{\"a\":1}\r\ndata:[DONE]\r\n", "data:{\"a\":1}\r\n\ndata:[DONE]\r\n"),
            ("data: null\rid: 7\rdata: {} \rdata: x", "data: null\rid: 7\r\n\ndata: {} \r\n\ndata: x"),
        ] {
            assert_eq!(separate(body, &[]), expected);
        }
        for standard in [
            "data: {}\n\ndata: {}\n\n",
            "data: {}\r\n\r\ndata: {}",
            "data: {}\r\rdata: {}",
            "data: {\ndata:   \"a\": {}\ndata: }\n\n",
            "data: a\ndata: {}\n\n",
            "data: {}\nevent: x\nid: d\n\n",
        ] {
            assert_eq!(separate(standard, &[]), standard);
        }
    }

    proptest! {
        #[test]
        fn reads_do_not_change_the_separation(
            lines in prop::collection::vec(("(data: ?)?(\\{\\}|\\[\\]|null|d|x| )?", "\n|\r|\r\n"), 0..12),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let text: String = lines.into_iter().map(|(line, end)| line + &end).collect();
            prop_assert_eq!(separate(&text, &cuts), separate(&text, &[]));
        }
    }
}
