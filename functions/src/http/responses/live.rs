//! The events of a response while it is written.

use axum::BoxError;
use axum::response::Response;
use bytes::Bytes;
use longhand::ResponseTail;
use tokio::time::Instant;

use crate::http::sse::{self, EVENT_STREAM, Frames, HEARTBEAT};

/// Server-sent events, without `id` fields: with them OpenAI's Python client takes a heartbeat for an event.
pub fn events(tail: ResponseTail, until: Option<Instant>) -> Response {
    sse::answer(EVENT_STREAM, Events(tail), HEARTBEAT, until)
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
