//! Bounds on a request's path, query and header fields.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use longhand::limits::{HEADER_BYTES_MAX, HEADERS_MAX, PATH_BYTES_MAX, QUERY_BYTES_MAX};
use longhand::{Error, TooMuch, TooMuchOf};

use super::problem::Problem;

/// Refuses a request that exceeds a bound. The layer lies within [`super::problem::finish`].
pub async fn limit(request: Request, next: Next) -> Result<Response, Problem> {
    check(&request)?;
    Ok(next.run(request).await)
}

fn check(request: &Request) -> Result<(), Error> {
    let (uri, headers) = (request.uri(), request.headers());
    let header_bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let counts = [
        (TooMuchOf::PathBytes, uri.path().len(), PATH_BYTES_MAX),
        (TooMuchOf::QueryBytes, uri.query().map_or(0, str::len), QUERY_BYTES_MAX),
        (TooMuchOf::Headers, headers.len(), HEADERS_MAX),
        (TooMuchOf::HeaderBytes, header_bytes, HEADER_BYTES_MAX),
    ];
    match counts.into_iter().find(|(_, found, most)| found > most) {
        None => Ok(()),
        Some((what, found, most)) => Err(Error::TooMuch(TooMuch { what, found, most })),
    }
}
