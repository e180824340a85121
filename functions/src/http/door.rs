//! What every request is held to before it is looked at: how much path, query and header fields it may have.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use longhand::limits::{HEADER_BYTES_MAX, HEADERS_MAX, PATH_BYTES_MAX, QUERY_BYTES_MAX};
use longhand::{Error, TooMuch, TooMuchOf};

use super::problem::Failure;
use super::responses::Refusal;

/// Lets in what is of a reasonable size. To be laid within what renders a [`Failure`].
pub async fn guard(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) if parts.uri.path().starts_with("/v1/responses") => Refusal::from(error).into_response(),
        Err(error) => Failure(error).into_response(),
    }
}

fn check(parts: &Parts) -> Result<(), Error> {
    let bytes = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let counted = [
        (TooMuchOf::PathBytes, parts.uri.path().len(), PATH_BYTES_MAX),
        (TooMuchOf::QueryBytes, parts.uri.query().map_or(0, str::len), QUERY_BYTES_MAX),
        (TooMuchOf::Headers, parts.headers.len(), HEADERS_MAX),
        (TooMuchOf::HeaderBytes, bytes, HEADER_BYTES_MAX),
    ];
    match counted.into_iter().find(|(_, found, most)| found > most) {
        None => Ok(()),
        Some((what, found, most)) => Err(Error::TooMuch(TooMuch { what, found, most })),
    }
}
