//! `/v1/generations/{id}/events`, live: server-sent events to the end, or JSON with a wait. And the attached start.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderName, StatusCode};
use lambda_http::RequestExt as _;
use longhand::generation::request::Request;
use longhand::log::event::NumberedEvent;
use longhand::{App, Error, GenerationKey, Organization, StreamJob, Tail};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument, Span};

use super::generations::{OneArgs, PageArgs, header};
use super::problem::Failure;
use crate::deadline::answer_until;

/// A comment is sent when nothing else has been for this long: proxies and clients give up on what is silent.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The longest that a JSON answer is held back. API Gateway gives up after 29 s.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Until when a function that writes and answers at once does each.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    /// It writes.
    pub stop_at: Option<Instant>,
    /// It answers.
    pub answer: Option<Instant>,
}

/// How the events are wanted.
pub struct EventsArgs {
    one: OneArgs,
    after: Option<u64>,
    limit: Option<usize>,
    wait: Option<Duration>,
    as_sse: bool,
    answer_until: Option<Instant>,
}

/// `GET /v1/generations/{id}/events?after=SEQ`: SSE if `Accept` names it; else a JSON page, after `wait` seconds at most.
pub async fn events(State(app): State<App>, args: EventsArgs) -> Result<Response, Failure> {
    let OneArgs { key } = args.one;
    let mut tail = app.tail(&key, args.after).await?;
    if args.as_sse {
        // There is nothing to come back for: a browser's `EventSource` is told so by 204.
        return Ok(if tail.is_at_end().await? { StatusCode::NO_CONTENT.into_response() } else { sse(tail, args.answer_until) });
    }
    if let Some(wait) = args.wait {
        // What comes is read again with the page, from where it lies.
        let _ = timeout(wait, tail.wait_for_events()).await;
    }
    Ok(Json(app.events(&key, args.after, args.limit).await?).into_response())
}

/// `POST /v1/generations` with `stream: true`: writes the log in this function, and answers with it. The writing goes on if
/// the caller goes away, and beyond this function's time; the answer ends with that, and the caller comes back for the rest.
pub async fn start_attached(
    app: App,
    organization: Organization,
    request: &Request,
    idempotency_key: Option<&str>,
    until: Until,
) -> Result<Response, Failure> {
    let (started, is_waiting) = app.accept(&organization, request, idempotency_key).await?;
    let key = GenerationKey::new(organization, started.id.clone());
    let tail = app.tail(&key, None).await?;
    if is_waiting {
        write_attached(app, &key, until.stop_at);
    }
    let location = [(LOCATION, format!("generations/{}", started.id))];
    Ok((location, sse(tail, until.answer)).into_response())
}

/// Writes a log in this function, whatever becomes of the caller.
pub fn write_attached(app: App, key: &GenerationKey, stop_at: Option<Instant>) {
    let job = StreamJob::new(key);
    let writes = async move {
        if let Err(error) = app.stream(&job, stop_at).await {
            tracing::error!(generation = %job.generation, %error, "An attached writer stopped; sweep will go on.");
        }
    };
    tokio::spawn(writes.in_current_span());
}

/// The rest of a log as server-sent events. It ends behind the terminal event, or when the function's time is over.
fn sse(tail: Tail, until: Option<Instant>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(frames(tail, until))).into_response()
}

fn frames(tail: Tail, until: Option<Instant>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let span = Span::current();
    let next = move |tail: Option<Tail>| async move {
        let mut tail = tail?;
        let heartbeat_at = Instant::now() + HEARTBEAT;
        let frame = match timeout_at(until.map_or(heartbeat_at, |until| until.min(heartbeat_at)), tail.next()).await {
            Err(_) if until.is_some_and(|until| until <= Instant::now()) => return None,
            Err(_) => Bytes::from_static(b": hb\n\n"),
            Ok(Ok(Some(events))) => encode(&events),
            Ok(Ok(None)) => return None,
            // The reader comes back to the same place; what failed is in the log.
            Ok(Err(error)) => {
                tracing::error!(%error, "A reader's stream broke off.");
                return None;
            }
        };
        Some((Ok(frame), Some(tail)))
    };
    futures::stream::unfold(Some(tail), move |tail| next(tail).instrument(span.clone()))
}

fn encode(events: &[NumberedEvent]) -> Bytes {
    let mut frames = Vec::new();
    for event in events {
        let Ok(data) = serde_json::to_value(event) else { continue };
        let name = data["type"].as_str().unwrap_or("message");
        frames.extend_from_slice(format!("id: {}\nevent: {name}\ndata: {data}\n\n", event.seq).as_bytes());
    }
    frames.into()
}

fn names_event_streams(accept: &str) -> bool {
    accept.contains("text/event-stream")
}

impl<S: Send + Sync> FromRequestParts<S> for EventsArgs {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let one = OneArgs::from_request_parts(parts, state).await?;
        let page = PageArgs::from_request_parts(parts, state).await?;
        let answer_until = parts.extensions.lambda_context_ref().and_then(answer_until);
        let number =
            |after: String| after.parse().map_err(|_| Error::invalid("after", "must be the number of an event, 0 or more"));
        let id = header(&parts.headers, "Last-Event-ID")?;
        let id =
            id.map(|id| id.parse().map_err(|_| Error::invalid("Last-Event-ID", "must be the number of an event, 0 or more")));
        let after = page.after.map(number).transpose()?;
        // A browser that reconnects says where it was in a header, and repeats the old query.
        let after = id.transpose()?.or(after);
        let wait = page.wait.map(|seconds| match seconds {
            0..=20 => Ok(Duration::from_secs(seconds)),
            _ => Err(Error::invalid("wait", format!("must be a whole number of seconds from 0 to {}", WAIT_MAX.as_secs()))),
        });
        let as_sse = parts.headers.get_all(ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(names_event_streams));
        Ok(Self { one, after, limit: page.limit, wait: wait.transpose()?, as_sse, answer_until })
    }
}
