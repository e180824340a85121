//! Which pages of another origin may read the answers: those of `LONGHAND_CORS_ORIGIN`. Preflights are API Gateway's, which
//! the template tells the same.

use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS};

/// Lets pages of `origin` read the answer, with all its headers.
pub async fn share(State(origin): State<HeaderValue>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    response
}
