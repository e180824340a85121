//! `/healthz`: whether the API answers. It needs no key and reads nothing.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use serde_json::json;

/// `GET /healthz`.
pub async fn get() -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "ok" }))).into_response()
}
