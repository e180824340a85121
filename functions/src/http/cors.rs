//! CORS: pages of `LONGHAND_CORS_ORIGIN` may read the answers. API Gateway answers preflights, from the template's `Cors`.

use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS};

/// Allows pages of `origin` to read the answer, with all its headers.
pub async fn allow_origin(State(origin): State<HeaderValue>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    response
}
