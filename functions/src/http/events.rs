//! `/v1/generations/{id}/events`: a page of JSON, at once or after a wait, or server-sent events to the end of the log.

use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Json};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use longhand::{App, Error, Tail};
use tokio::time::{Instant, timeout};

use super::args::{OneArgs, QueryArgs, accepts, header};
use super::attached::Until;
use super::problem::Problem;
use super::sse::{self, EVENT_STREAM, Frames, HEARTBEAT};

/// The longest wait for a page of JSON. API Gateway gives up after 29 s.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Which events, and in which form.
pub struct EventsArgs {
    after: Option<u64>,
    limit: Option<usize>,
    wait: Option<Duration>,
    as_sse: bool,
}

/// `GET /v1/generations/{id}/events?after=SEQ`: server-sent events if `Accept` names them; else a page of JSON, held back for
/// `wait` seconds at most while there are no events.
pub async fn events(State(app): State<App>, one: OneArgs, args: EventsArgs, until: Until) -> Result<Response, Problem> {
    let key = one.key();
    let mut tail = app.tail(&key, args.after).await?;
    if args.as_sse {
        // At 204 a browser's `EventSource` stops reconnecting.
        let is_at_end = tail.is_at_end().await?;
        let ends_at = until.of_connection(&app);
        return Ok(if is_at_end { StatusCode::NO_CONTENT.into_response() } else { answer(tail, Some(ends_at)) });
    }
    if let Some(wait) = args.wait {
        // The page below reads the events again, and reports an error.
        let _ = timeout(wait, tail.wait_for_events()).await;
    }
    Ok(Json(app.events(&key, args.after, args.limit).await?).into_response())
}

/// The rest of a log as server-sent events, up to the terminal event or until the time is over.
pub fn answer(tail: Tail, until: Option<Instant>) -> Response {
    sse::answer(EVENT_STREAM, Events(tail), HEARTBEAT, until)
}

struct Events(Tail);

impl sse::Source for Events {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let Some(events) = self.0.next().await? else { return Ok(None) };
        let mut frames = Frames::new();
        for event in &events {
            frames.push(event.event.name(), event, Some(event.seq))?;
        }
        Ok(Some(frames.into()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for EventsArgs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = QueryArgs::from_request_parts(parts, state).await?;
        query.only(&["after", "limit", "token", "wait"])?;
        let last_event_id = header(&parts.headers, "Last-Event-ID")?;
        // A browser that reconnects puts its place into the header, and repeats the old query.
        let after = event_number("Last-Event-ID", last_event_id.as_deref())?.or(event_number("after", query.first("after"))?);
        let wait = query.first("wait").map(wait).transpose()?;
        let as_sse = accepts(&parts.headers, "text/event-stream");
        Ok(Self { after, limit: query.limit(), wait, as_sse })
    }
}

fn event_number(name: &str, text: Option<&str>) -> Result<Option<u64>, Error> {
    let number = text.map(str::parse).transpose();
    number.map_err(|_| Error::invalid(name, "must be the number of an event, 0 or more"))
}

fn wait(text: &str) -> Result<Duration, Error> {
    let wait = text.parse().ok().map(Duration::from_secs).filter(|wait| *wait <= WAIT_MAX);
    let expected = || format!("must be a whole number of seconds from 0 to {}", WAIT_MAX.as_secs());
    wait.ok_or_else(|| Error::invalid("wait", expected()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_bounded_by_the_constant() {
        let longest = WAIT_MAX.as_secs();
        assert_eq!(wait("0").unwrap(), Duration::ZERO);
        assert_eq!(wait(&longest.to_string()).unwrap(), WAIT_MAX);
        for text in ["", "-1", "1.5", "a", &(longest + 1).to_string(), "99999999999999999999"] {
            let error = wait(text).unwrap_err().to_string();
            assert!(error.ends_with(&format!("from 0 to {longest}")), "{text:?}: {error}");
        }
    }
}
