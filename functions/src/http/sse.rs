//! The one writer of server-sent events, and of every other body that is sent as it comes to be.

use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};

/// A heartbeat is due after this much silence: proxies and clients close connections that are silent for longer.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// The content type of server-sent events. The specification defines UTF-8; some clients look for the parameter.
pub const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// The parts of a body, as they come.
pub trait Source: Send + 'static {
    /// Waits for the next part; `None` ends the body. An error breaks the connection, so that no reader takes a body that is
    /// cut short for a whole one. Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, BoxError>> + Send;

    /// The part that is sent in a silence. By default a comment, which readers skip.
    ///
    /// # Errors
    /// As [`Self::next`].
    fn heartbeat(&mut self) -> Result<Bytes, BoxError> {
        Ok(Bytes::from_static(b": hb\n\n"))
    }

    /// The last part where the time is over before the source has ended. By default the body ends there.
    ///
    /// # Errors
    /// As [`Self::next`].
    fn at_deadline(&mut self) -> Result<Option<Bytes>, BoxError> {
        Ok(None)
    }
}

/// Events that are sent together.
pub struct Frames {
    bytes: Vec<u8>,
    data_field: &'static str,
}

impl Frames {
    /// No events yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), data_field: "data: " }
    }

    /// The same, without the space after `data:` that readers skip.
    pub const fn without_space() -> Self {
        Self { bytes: Vec::new(), data_field: "data:" }
    }

    /// Adds an event. `id` follows `data`: a reader that is cut off between the two has not counted an event that it lacks.
    ///
    /// # Errors
    /// The data cannot be serialised. The frames are of no use then.
    pub fn push(&mut self, name: &str, data: &impl Serialize, id: Option<u64>) -> Result<(), BoxError> {
        self.bytes.extend_from_slice(format!("event: {name}\n{}", self.data_field).as_bytes());
        serde_json::to_writer(&mut self.bytes, data)?;
        if let Some(id) = id {
            self.bytes.extend_from_slice(format!("\nid: {id}").as_bytes());
        }
        self.bytes.extend_from_slice(b"\n\n");
        Ok(())
    }
}

impl Frames {
    /// Adds an event without a name.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_data(&mut self, data: &impl Serialize) -> Result<(), BoxError> {
        self.bytes.extend_from_slice(self.data_field.as_bytes());
        serde_json::to_writer(&mut self.bytes, data)?;
        self.bytes.extend_from_slice(b"\n\n");
        Ok(())
    }

    /// Adds the end of a stream of chat completion chunks.
    pub fn push_done(&mut self) {
        self.bytes.extend_from_slice(b"data: [DONE]\n\n");
    }
}

impl From<Frames> for Bytes {
    fn from(frames: Frames) -> Self {
        frames.bytes.into()
    }
}

/// An answer of server-sent events, until the source ends or the time is over.
pub fn answer(content_type: &'static str, source: impl Source, heartbeat: Duration, until: Option<Instant>) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body(source, heartbeat, until)).into_response()
}

/// The body of such an answer.
pub fn body(source: impl Source, heartbeat: Duration, until: Option<Instant>) -> Body {
    Body::from_stream(parts(source, heartbeat, until))
}

fn parts<S: Source>(source: S, heartbeat: Duration, until: Option<Instant>) -> impl Stream<Item = Result<Bytes, BoxError>> {
    let span = Span::current();
    // Boxed: it is passed on with each part, and a `Tail` is large.
    futures::stream::unfold(Some(Box::new(source)), move |source| {
        let part = async move { part(source?, heartbeat, until).await };
        part.instrument(span.clone())
    })
}

/// The next part, and the source if more may follow.
async fn part<S: Source>(
    mut source: Box<S>,
    heartbeat: Duration,
    until: Option<Instant>,
) -> Option<(Result<Bytes, BoxError>, Option<Box<S>>)> {
    let is_over = || until.is_some_and(|until| until <= Instant::now());
    if is_over() {
        return source.at_deadline().transpose().map(|part| (part, None));
    }
    let heartbeat_at = Instant::now() + heartbeat;
    let due = until.map_or(heartbeat_at, |until| until.min(heartbeat_at));
    let part = match timeout_at(due, source.next()).await {
        Ok(part) => part.transpose()?,
        Err(_) if is_over() => return source.at_deadline().transpose().map(|part| (part, None)),
        Err(_) => source.heartbeat(),
    };
    match part {
        Ok(part) => Some((Ok(part), Some(source))),
        Err(error) => {
            tracing::error!(%error, "A live response broke off.");
            // The server discards what it has not flushed when a body fails, and flushes whenever the body is pending.
            tokio::task::yield_now().await;
            Some((Err(error), None))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use axum::body::to_bytes;
    use futures::StreamExt as _;
    use serde::Serializer;
    use serde::ser::Error as _;

    use super::*;

    /// Parts in order; `None` is a silence, which lasts until the next heartbeat.
    struct Scripted(VecDeque<Option<Result<&'static str, &'static str>>>);

    impl Source for Scripted {
        async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
            match self.0.pop_front() {
                Some(None) => std::future::pending().await,
                Some(Some(part)) => Ok(Some(part?.into())),
                None => Ok(None),
            }
        }
    }

    struct Unserialisable;

    impl Serialize for Unserialisable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("on purpose"))
        }
    }

    async fn sent<const N: usize>(
        script: [Option<Result<&'static str, &'static str>>; N],
        heartbeat: Duration,
        until: Option<Instant>,
    ) -> Vec<Result<String, String>> {
        let text = |bytes: Bytes| String::from_utf8(bytes.into()).unwrap();
        let sent = parts(Scripted(script.into()), heartbeat, until);
        sent.map(|part| part.map(text).map_err(|error| error.to_string())).collect().await
    }

    fn good<const N: usize>(parts: [&str; N]) -> Vec<Result<String, String>> {
        parts.into_iter().map(|part| Ok(part.to_owned())).collect()
    }

    #[test]
    fn data_comes_before_id() {
        let mut frames = Frames::new();
        frames.push("a", &[1], Some(7)).unwrap();
        frames.push("b", &"x\ny", None).unwrap();
        assert_eq!(Bytes::from(frames), "event: a\ndata: [1]\nid: 7\n\nevent: b\ndata: \"x\\ny\"\n\n");
    }

    #[test]
    fn unserialisable_event_is_an_error() {
        let error = Frames::new().push("a", &Unserialisable, Some(0)).unwrap_err();
        assert_eq!(error.to_string(), "on purpose");
    }

    #[tokio::test]
    async fn silence_is_filled_with_heartbeats() {
        let script = [Some(Ok("a")), None, None, Some(Ok("b"))];
        assert_eq!(sent(script, Duration::ZERO, None).await, good(["a", ": hb\n\n", ": hb\n\n", "b"]));
    }

    #[tokio::test]
    async fn body_ends_with_its_source_or_with_the_time() {
        let now = Instant::now();
        assert_eq!(sent([Some(Ok("a")), Some(Ok("b"))], HEARTBEAT, None).await, good(["a", "b"]));
        assert_eq!(sent([Some(Ok("a"))], HEARTBEAT, Some(now)).await, []);
        let soon = now + Duration::from_millis(1);
        assert_eq!(sent([None, Some(Ok("a"))], HEARTBEAT, Some(soon)).await, [], "the time is over in a silence");
    }

    #[tokio::test]
    async fn error_breaks_the_body() {
        let script = [Some(Ok("a")), Some(Err("on purpose")), Some(Ok("c"))];
        assert_eq!(sent(script, HEARTBEAT, None).await, [Ok("a".to_owned()), Err("on purpose".to_owned())]);
        assert!(to_bytes(body(Scripted(script.into()), HEARTBEAT, None), usize::MAX).await.is_err());
    }
}
