//! Answers with the protocol's headers.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use http::{HeaderMap, HeaderName, StatusCode};
use longhand::{GenerationId, LogPage, LogTail};

use super::position::offset;

pub const STREAM_CURSOR: HeaderName = HeaderName::from_static("stream-cursor");
const STREAM_NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");
const STREAM_UP_TO_DATE: HeaderName = HeaderName::from_static("stream-up-to-date");
const STREAM_CLOSED: HeaderName = HeaderName::from_static("stream-closed");

const TRUE: HeaderValue = HeaderValue::from_static("true");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// A page that ends before the tail, or at the stream's end, never changes.
const PERMANENT: HeaderValue = HeaderValue::from_static("private, max-age=60, stale-while-revalidate=300");
/// A page that ends at the tail of an open stream changes with the next event.
const TRANSIENT: HeaderValue = HeaderValue::from_static("private, no-cache");

/// A page from an offset on; 304 where the reader has the page.
pub fn page(id: &GenerationId, page: &LogPage, if_none_match: Option<&str>) -> Response {
    let closed = if page.is_last() { ":c" } else { "" };
    let etag = format!("\"{id}:{}:{}{closed}\"", page.from, page.next_seq());
    let is_known = if_none_match.is_some_and(|given| {
        given.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag)
    });
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { Json(&page.events).into_response() };
    let headers = response.headers_mut();
    insert_position(headers, page);
    headers.insert(CACHE_CONTROL, if page.is_at_tail() && !page.is_last() { TRANSIENT } else { PERMANENT });
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    response
}

/// The empty page at the tail.
pub fn now(page: &LogPage) -> Response {
    let mut response = Json(&page.events).into_response();
    insert_position(response.headers_mut(), page);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A long poll that ends without events: its time is over, or the stream is closed.
pub fn nothing_new(page: &LogPage) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    insert_position(response.headers_mut(), page);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// The next offset, without a body.
pub fn head(tail: LogTail) -> Response {
    let mut response = Body::empty().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    insert_next_offset(headers, tail.next_seq);
    if tail.is_closed {
        headers.insert(STREAM_CLOSED, TRUE);
    }
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

fn insert_position(headers: &mut HeaderMap, page: &LogPage) {
    insert_next_offset(headers, page.next_seq());
    if page.is_at_tail() {
        headers.insert(STREAM_UP_TO_DATE, TRUE);
    }
    if page.is_last() {
        headers.insert(STREAM_CLOSED, TRUE);
    }
}

fn insert_next_offset(headers: &mut HeaderMap, seq: u64) {
    if let Ok(offset) = HeaderValue::from_str(&offset(seq)) {
        headers.insert(STREAM_NEXT_OFFSET, offset);
    }
}
