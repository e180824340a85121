//! The handlers of accepted generations: each unpacks its arguments, calls a verb, and renders the result.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use longhand::App;
use longhand::acceptance::body;

use super::args::{BodyBytes, OneArgs, QueryArgs, SubjectArgs};
use super::problem::Problem;
use crate::invocation::request_id;

/// `POST /v1/generations/{id}/accept`: 201, also where it is accepted already.
pub async fn accept(State(app): State<App>, one: OneArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let (key, asked) = (one.key(), body::accept(&body)?);
    let app = app.for_request(request_id().as_deref()).by(one.caller.key, one.caller.user);
    Ok((StatusCode::CREATED, Json(Box::pin(app.accept_generation(&key, asked)).await?)).into_response())
}

/// `GET /v1/subjects/{subject}/accepted_prompt`.
pub async fn prompt(State(app): State<App>, of: SubjectArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(Json(app.accepted_prompt(&of.key).await?).into_response())
}
