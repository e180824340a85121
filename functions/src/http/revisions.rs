//! Live events of what has revisions: batches and runs.

use axum::BoxError;
use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT;
use longhand::Error;
use serde::Serialize;

use super::args::{QueryArgs, accepts, header};
use super::sse::Frames;

/// The revision that a reader has, by `Last-Event-ID` or `after`, of what `noun` calls. The request takes server-sent events.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn after(query: &QueryArgs, headers: &HeaderMap, noun: &str) -> Result<Option<u64>, Error> {
    query.only(&["after", "token"])?;
    if headers.contains_key(ACCEPT) && !["text/event-stream", "*/*", "text/*"].iter().any(|one| accepts(headers, one)) {
        return Err(Error::invalid("Accept", "must name `text/event-stream`"));
    }
    let revision = |name: &str, text: Option<&str>| {
        let number = text.map(str::parse).transpose();
        number.map_err(|_| Error::invalid(name, format!("must be the revision of a {noun}, 0 or more")))
    };
    // A browser that reconnects puts its place into the header, and repeats the old query.
    let last_event_id = header(headers, "Last-Event-ID")?;
    Ok(revision("Last-Event-ID", last_event_id.as_deref())?.or(revision("after", query.first("after"))?))
}

/// Events as they are sent: name, data, and the revision that is told whole with them.
///
/// # Errors
/// The data is no JSON.
pub fn frames<'a, D: Serialize + 'a>(events: impl IntoIterator<Item = (&'a str, &'a D, Option<u64>)>) -> Result<Bytes, BoxError> {
    let mut frames = Frames::new();
    for (name, data, id) in events {
        frames.push(name, data, id)?;
    }
    Ok(frames.into())
}
