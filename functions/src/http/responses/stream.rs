//! A response as it is written: its events, or its object at the end.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use longhand::{Error, ResponseTail};
use serde_json::Value;
use tokio::time::timeout;
use tracing::{Instrument, Span};

/// Something is sent when nothing else has been for this long: proxies and clients give up on what is silent.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Server-sent events. No `id:` lines: with them OpenAI's Python client takes a heartbeat for an event.
pub fn events(tail: ResponseTail) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let span = Span::current();
    let frames = futures::stream::unfold(Some(tail), move |tail| frame(tail).instrument(span.clone()));
    (headers, Body::from_stream(frames)).into_response()
}

async fn frame(tail: Option<ResponseTail>) -> Option<(io::Result<Bytes>, Option<ResponseTail>)> {
    let mut tail = tail?;
    match timeout(HEARTBEAT, tail.next()).await {
        Err(_) => Some((Ok(Bytes::from_static(b": hb\n\n")), Some(tail))),
        Ok(Ok(Some(events))) => Some((Ok(encode(&events)), Some(tail))),
        Ok(Ok(None)) => None,
        Ok(Err(error)) => Some((Err(broken(&error)), None)),
    }
}

/// The response at its end, as JSON. Until then white space comes, which JSON allows before its value.
pub fn object(tail: ResponseTail) -> Response {
    (([(CONTENT_TYPE, "application/json")]), Body::from_stream(patient(tail))).into_response()
}

fn patient(tail: ResponseTail) -> impl Stream<Item = io::Result<Bytes>> {
    let span = Span::current();
    futures::stream::unfold(Some(tail), move |tail| whole(tail).instrument(span.clone()))
}

async fn whole(tail: Option<ResponseTail>) -> Option<(io::Result<Bytes>, Option<ResponseTail>)> {
    let mut tail = tail?;
    match timeout(HEARTBEAT, tail.ended()).await {
        Err(_) => Some((Ok(Bytes::from_static(b"\n")), Some(tail))),
        Ok(Ok(response)) => Some((Ok(response.to_string().into()), None)),
        Ok(Err(error)) => Some((Err(broken(&error)), None)),
    }
}

/// The connection breaks, so that nobody takes what came for the whole. The reader comes back; the cause is in the log.
fn broken(error: &Error) -> io::Error {
    tracing::error!(%error, "A reader's stream broke off.");
    io::Error::other("the stream broke off")
}

fn encode(events: &[Value]) -> Bytes {
    let frame = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default());
    events.iter().map(frame).collect::<String>().into()
}
