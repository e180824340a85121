//! The handler of `/v1/uploads`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use longhand::App;
use longhand::uploads::body::NewUpload;

use super::args::BodyBytes;
use super::caller::Caller;
use super::problem::Problem;

/// `POST /v1/uploads`. The answer has a signed URL, which is nobody else's to keep.
pub async fn create(State(app): State<App>, caller: Caller, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let upload = app.create_upload(&caller.organization, &NewUpload::parse(&body)?).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(upload)).into_response())
}
