//! The handlers of imports: each unpacks its arguments, calls a verb, and renders the result.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use longhand::entities::body::note_of;
use longhand::{App, Error, ImportId};

use super::args::{BodyBytes, OneArgs, PartArgs, QueryArgs, SubjectArgs};
use super::entities::parsed;
use super::problem::Problem;
use crate::invocation::request_id;

/// `GET /v1/generations/{id}/import_audit?after=&limit=`.
pub async fn attempts(State(app): State<App>, one: OneArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["after", "limit"])?;
    let after = parsed(&query, "after", "must be the id of an attempt")?;
    Ok(Json(app.import_attempts(&one.key(), after.as_ref(), query.limit()).await?).into_response())
}

/// `GET /v1/subjects/{subject}/imports?after=&limit=`.
pub async fn list(State(app): State<App>, of: SubjectArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["after", "limit"])?;
    let after = query.first("after").map(str::parse::<ImportId>).transpose();
    let after = after.map_err(|error| Error::invalid("after", format!("must be the id of an import: {error}")))?;
    Ok(Json(app.list_imports(&of.key, after.as_ref(), query.limit()).await?).into_response())
}

/// `GET /v1/subjects/{subject}/imports/{import}`.
pub async fn get(State(app): State<App>, of: PartArgs<ImportId>, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(Json(app.import(&of.key, &of.id).await?).into_response())
}

/// `POST /v1/subjects/{subject}/imports/{import}/revert`, with a `note` or without a body.
pub async fn revert(State(app): State<App>, of: PartArgs<ImportId>, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let note = note_of(&body)?;
    let app = app.for_request(request_id().as_deref()).by(of.caller.key, of.caller.user);
    Ok(Json(app.revert_import(&of.key, &of.id, note).await?).into_response())
}
