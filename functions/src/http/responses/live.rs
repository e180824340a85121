//! A response while it is written: its events, or its object at the end.

use axum::BoxError;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use longhand::ResponseTail;
use serde_json::Value;
use tokio::time::Instant;

use crate::http::sse::{self, EVENT_STREAM, Frames, HEARTBEAT};

/// Server-sent events, without `id` fields: with them OpenAI's Python client takes a heartbeat for an event.
pub fn events(tail: ResponseTail, until: Option<Instant>) -> Response {
    sse::answer(EVENT_STREAM, Events(tail), HEARTBEAT, until)
}

/// The response at its end, as JSON; where the time is over first, the response as it is. White space is sent until then,
/// which JSON allows before its value.
pub fn object(tail: ResponseTail, until: Option<Instant>) -> Response {
    let body: Body = sse::body(Object { tail, is_sent: false }, HEARTBEAT, until);
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

struct Events(ResponseTail);

impl sse::Source for Events {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let Some(events) = self.0.next().await? else { return Ok(None) };
        let mut frames = Frames::new();
        for event in &events {
            frames.push(event["type"].as_str().unwrap_or_default(), event, None)?;
        }
        Ok(Some(frames.into()))
    }

    /// OpenAI's clients take a stream that ends well for a whole one.
    fn at_deadline(&mut self) -> Result<Option<Bytes>, BoxError> {
        Err("the time of the function is over".into())
    }
}

struct Object {
    tail: ResponseTail,
    is_sent: bool,
}

impl sse::Source for Object {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        if self.is_sent {
            return Ok(None);
        }
        let response = self.tail.ended().await?;
        self.is_sent = true;
        Ok(Some(render(&response)))
    }

    fn heartbeat(&mut self) -> Result<Bytes, BoxError> {
        Ok(Bytes::from_static(b"\n"))
    }

    /// A client repeats a request whose connection breaks, and would start another generation. This object has the id under
    /// which the caller retrieves the response.
    fn at_deadline(&mut self) -> Result<Option<Bytes>, BoxError> {
        Ok((!self.is_sent).then(|| render(&self.tail.response())))
    }
}

fn render(response: &Value) -> Bytes {
    response.to_string().into()
}
