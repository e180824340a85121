//! The stream as server-sent events: after every `data` a `control` that says where the reader is now.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use longhand::log::event::NumberedEvent;
use longhand::{App, Error, LogTail, Tail};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};

use super::place::{self, ReadArgs, Start};
use crate::http::problem::Failure;

/// Follows the stream from the reader's place to its end, or until it is time to come back.
pub async fn follow(app: App, args: ReadArgs) -> Result<Response, Failure> {
    let known = app.log_tail(&args.one.key).await?;
    let next = match args.start {
        Start::Now => known.next_seq,
        Start::At(seq) if seq <= known.next_seq => seq,
        Start::At(_) => return Err(Error::invalid("offset", "must be one that this stream has given").into()),
    };
    let tail = app.tail(&args.one.key, next.checked_sub(1)).await?;
    let live = app.config().live;
    let follower = Follower {
        tail,
        next,
        known,
        cursor: args.cursor,
        speaks_first: next == known.next_seq,
        keep_alive: live.keep_alive,
        ends_at: Instant::now() + live.connection,
    };
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "private, no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(frames(follower))).into_response())
}

struct Follower {
    tail: Tail,
    /// The number of the next event that the reader gets.
    next: u64,
    /// How far the log went when the reader came.
    known: LogTail,
    cursor: Option<u64>,
    /// A reader who has everything is told so at once, not at the next event.
    speaks_first: bool,
    keep_alive: std::time::Duration,
    ends_at: Instant,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Control {
    stream_next_offset: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_cursor: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    up_to_date: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream_closed: bool,
}

fn frames(follower: Follower) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let span = Span::current();
    futures::stream::unfold(Some(follower), move |follower| {
        let next = async {
            let mut follower = follower?;
            let (frame, is_last) = follower.frame().await?;
            Some((Ok(frame), (!is_last).then_some(follower)))
        };
        next.instrument(span.clone())
    })
}

impl Follower {
    /// The next piece of the stream, and whether it is the last; `None`: the connection's time is over.
    async fn frame(&mut self) -> Option<(Bytes, bool)> {
        if std::mem::take(&mut self.speaks_first) {
            let closed = self.known.is_closed;
            return Some((self.control(closed), closed));
        }
        let due = Instant::now() + self.keep_alive;
        match timeout_at(due.min(self.ends_at), self.tail.next()).await {
            Ok(Ok(Some(events))) => Some(self.data(&events)),
            Ok(Ok(None)) => Some((self.control(true), true)),
            // The reader comes back to the same place; what failed is in the log.
            Ok(Err(error)) => {
                tracing::error!(%error, "A reader's stream broke off.");
                None
            }
            Err(_) if Instant::now() >= self.ends_at => None,
            Err(_) => Some((self.control(false), false)),
        }
    }

    fn data(&mut self, events: &[NumberedEvent]) -> (Bytes, bool) {
        self.next = events.last().map_or(self.next, |event| event.seq + 1);
        let closed = self.tail.has_ended();
        let data = serde_json::to_string(events).unwrap_or_default();
        let control = self.control(closed);
        ([b"event: data\ndata:", data.as_bytes(), b"\n\n", &control].concat().into(), closed)
    }

    fn control(&self, closed: bool) -> Bytes {
        let control = Control {
            stream_next_offset: place::offset(self.next),
            stream_cursor: (!closed).then(|| place::cursor(self.cursor).to_string()),
            up_to_date: closed || self.next >= self.known.next_seq,
            stream_closed: closed,
        };
        let data = serde_json::to_string(&control).unwrap_or_default();
        format!("event: control\ndata:{data}\n\n").into()
    }
}
