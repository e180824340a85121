//! An answer that is one JSON value at the end of a generation.

use axum::BoxError;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use longhand::{ChatCompletionTail, Error, ResponseTail};
use serde_json::Value;
use tokio::time::Instant;

use super::sse::{self, HEARTBEAT};

/// A tail whose end is one value.
pub trait Whole: Send + 'static {
    /// The value at the end; waits for it.
    fn ended(&mut self) -> impl Future<Output = Result<Value, Error>> + Send;

    /// The value as far as the tail has been read. It has the id under which the caller finds the rest: a client repeats a request
    /// whose connection breaks, and would start another generation.
    fn now(&self) -> Value;
}

impl Whole for ResponseTail {
    async fn ended(&mut self) -> Result<Value, Error> {
        self.ended().await
    }

    fn now(&self) -> Value {
        self.response()
    }
}

impl Whole for ChatCompletionTail {
    async fn ended(&mut self) -> Result<Value, Error> {
        self.ended().await
    }

    fn now(&self) -> Value {
        self.completion()
    }
}

/// The value at the end, as JSON; where the time is over first, the value as it is. White space is sent until then, which JSON allows
/// before its value.
pub fn answer(tail: impl Whole, until: Option<Instant>) -> Response {
    let body = sse::body(Object { tail, is_sent: false }, HEARTBEAT, until);
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

struct Object<T> {
    tail: T,
    is_sent: bool,
}

impl<T: Whole> sse::Source for Object<T> {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        if self.is_sent {
            return Ok(None);
        }
        let value = Whole::ended(&mut self.tail).await?;
        self.is_sent = true;
        Ok(Some(value.to_string().into()))
    }

    fn heartbeat(&mut self) -> Result<Bytes, BoxError> {
        Ok(Bytes::from_static(b"\n"))
    }

    fn at_deadline(&mut self) -> Result<Option<Bytes>, BoxError> {
        Ok((!self.is_sent).then(|| self.tail.now().to_string().into()))
    }
}
