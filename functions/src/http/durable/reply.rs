//! Answers in the protocol's headers.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use http::{HeaderMap, HeaderName, StatusCode};
use longhand::{GenerationId, LogPage, LogTail};

use super::place::offset;

pub const STREAM_CURSOR: HeaderName = HeaderName::from_static("stream-cursor");
const STREAM_NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");
const STREAM_UP_TO_DATE: HeaderName = HeaderName::from_static("stream-up-to-date");
const STREAM_CLOSED: HeaderName = HeaderName::from_static("stream-closed");

const TRUE: HeaderValue = HeaderValue::from_static("true");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// A page that ends before the tail, or at the stream's end, says the same for ever.
const LASTING: HeaderValue = HeaderValue::from_static("private, max-age=60, stale-while-revalidate=300");
/// A page that ends at the tail of an open stream is out of date with the next event.
const FLEETING: HeaderValue = HeaderValue::from_static("private, no-cache");

/// A page from an offset on, or 304 where the reader has it.
pub fn page(id: &GenerationId, page: &LogPage, if_none_match: Option<&str>) -> Response {
    let closed = if page.is_last() { ":c" } else { "" };
    let etag = format!("\"{id}:{}:{}{closed}\"", page.from, page.next_seq());
    let has_it = if_none_match.is_some_and(|given| {
        given.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag)
    });
    let mut response = if has_it { StatusCode::NOT_MODIFIED.into_response() } else { Json(&page.events).into_response() };
    let headers = response.headers_mut();
    stand(headers, page);
    headers.insert(CACHE_CONTROL, if page.is_at_tail() && !page.is_last() { FLEETING } else { LASTING });
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    response
}

/// The empty page at the tail.
pub fn now(page: &LogPage) -> Response {
    let mut response = Json(&page.events).into_response();
    stand(response.headers_mut(), page);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A long poll that ends with nothing to tell: its time is over, or the stream is.
pub fn nothing_new(page: &LogPage) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    stand(response.headers_mut(), page);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Where the stream stands.
pub fn head(tail: LogTail) -> Response {
    let mut response = Body::empty().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    next_offset(headers, tail.next_seq);
    if tail.is_closed {
        headers.insert(STREAM_CLOSED, TRUE);
    }
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

fn stand(headers: &mut HeaderMap, page: &LogPage) {
    next_offset(headers, page.next_seq());
    if page.is_at_tail() {
        headers.insert(STREAM_UP_TO_DATE, TRUE);
    }
    if page.is_last() {
        headers.insert(STREAM_CLOSED, TRUE);
    }
}

fn next_offset(headers: &mut HeaderMap, seq: u64) {
    if let Ok(offset) = HeaderValue::from_str(&offset(seq)) {
        headers.insert(STREAM_NEXT_OFFSET, offset);
    }
}
