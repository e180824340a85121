//! The stream as server-sent events: after every `data` event a `control` event with the reader's next offset.

use axum::BoxError;
use axum::response::Response;
use bytes::Bytes;
use longhand::{App, Error, LogTail, Tail};
use serde::Serialize;
use tokio::time::Instant;

use super::position::{self, ReadArgs, Start};
use crate::http::args::OneArgs;
use crate::http::problem::Problem;
use crate::http::sse::{self, Frames};

/// The protocol requires exactly this content type.
const EVENT_STREAM: &str = "text/event-stream";

/// Follows the stream from the reader's position to its end, to the end of the connection's time, or `until` then.
pub async fn follow(app: App, one: &OneArgs, args: &ReadArgs, until: Option<Instant>) -> Result<Response, Problem> {
    let key = one.key();
    let known = app.log_tail(&key).await?;
    let next = match args.start {
        Start::Now => known.next_seq,
        Start::At(seq) if seq <= known.next_seq => seq,
        Start::At(_) => return Err(Error::invalid("offset", "must be one that this stream has given").into()),
    };
    let tail = app.tail(&key, next.checked_sub(1)).await?;
    let live = app.config().live;
    let ends_at = Instant::now() + live.connection;
    let ends_at = until.map_or(ends_at, |until| until.min(ends_at));
    let is_up_to_date = next == known.next_seq;
    let source = Follower { tail, next, known, cursor: args.cursor, is_control_due: is_up_to_date, is_closed: false };
    Ok(sse::answer(EVENT_STREAM, source, live.keep_alive, Some(ends_at)))
}

struct Follower {
    tail: Tail,
    /// The number of the next event that the reader gets.
    next: u64,
    /// The end of the log when the reader came.
    known: LogTail,
    cursor: Option<u64>,
    /// The reader came with all events, and gets a `control` event at once.
    is_control_due: bool,
    /// The last `control` event has been sent.
    is_closed: bool,
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

impl sse::Source for Follower {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let mut frames = Frames::without_space();
        if self.is_closed {
            return Ok(None);
        }
        if std::mem::take(&mut self.is_control_due) {
            self.push_control(&mut frames, self.known.is_closed)?;
        } else if let Some(events) = self.tail.next().await? {
            self.next = events.last().map_or(self.next, |event| event.seq + 1);
            frames.push("data", &events, None)?;
            self.push_control(&mut frames, self.tail.has_ended())?;
        } else {
            self.push_control(&mut frames, true)?;
        }
        Ok(Some(frames.into()))
    }

    fn heartbeat(&mut self) -> Result<Bytes, BoxError> {
        let mut frames = Frames::without_space();
        self.push_control(&mut frames, false)?;
        Ok(frames.into())
    }
}

impl Follower {
    fn push_control(&mut self, frames: &mut Frames, closed: bool) -> Result<(), BoxError> {
        self.is_closed = closed;
        let control = Control {
            stream_next_offset: position::offset(self.next),
            stream_cursor: (!closed).then(|| position::cursor(self.cursor).to_string()),
            up_to_date: closed || self.next >= self.known.next_seq,
            stream_closed: closed,
        };
        frames.push("control", &control, None)
    }
}
