//! The handlers of `/v1/subjects`: each unpacks its arguments, calls a verb, and renders the result.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, StatusCode};
use longhand::limits::VERSION_NUMBER_MAX;
use longhand::subjects::body;
use longhand::subjects::version::VersionView;
use longhand::{App, Error};
use serde_json::json;

use super::args::{BodyBytes, IdempotencyKey, QueryArgs, SubjectArgs, accepts, if_match};
use super::caller::Caller;
use super::problem::Problem;
use crate::invocation::request_id;

/// `GET /v1/subjects?prefix=&label=&after=&limit=`.
pub async fn list(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["prefix", "label", "after", "limit"])?;
    let after = query.first("after").map(str::parse).transpose();
    let after = after.map_err(|error| Error::invalid("after", format!("must be a subject: {error}")))?;
    let (prefix, label) = (query.first("prefix").unwrap_or_default(), query.first("label"));
    Ok(Json(app.subjects(&caller.organization, prefix, label, after, query.limit()).await?).into_response())
}

/// `GET /v1/subjects/{subject}`.
pub async fn get(State(app): State<App>, of: SubjectArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(Json(app.subject(&of.key).await?).into_response())
}

/// `PUT /v1/subjects/{subject}`.
pub async fn put(State(app): State<App>, of: SubjectArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    Ok(Json(app.describe_subject(&of.key, body::details(&body)?).await?).into_response())
}

/// `DELETE /v1/subjects/{subject}`.
pub async fn delete(State(app): State<App>, of: SubjectArgs) -> Result<Response, Problem> {
    let app = app.for_request(request_id().as_deref()).by(of.caller.key, of.caller.user);
    app.delete_subject(&of.key).await?;
    Ok(Json(json!({ "id": of.key.subject, "object": "subject", "deleted": true })).into_response())
}

/// `POST /v1/subjects/{subject}/regenerate`, with a `reason` or without a body.
pub async fn regenerate(
    State(app): State<App>,
    of: SubjectArgs,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let app = app.for_request(request_id().as_deref()).by(of.caller.key, of.caller.user);
    let started = app.regenerate(&of.key, body::reason_of(&body)?, idempotency_key.as_deref()).await?;
    let location = [(LOCATION, format!("../../generations/{}", started.id))];
    Ok((StatusCode::ACCEPTED, location, Json(started)).into_response())
}

/// `GET /v1/subjects/{subject}/versions?before=&limit=`.
pub async fn versions(State(app): State<App>, of: SubjectArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["before", "limit"])?;
    Ok(Json(app.versions(&of.key, number(&query, "before")?, query.limit()).await?).into_response())
}

/// `POST /v1/subjects/{subject}/versions`: a version by hand.
pub async fn edit(
    State(app): State<App>,
    of: SubjectArgs,
    headers: HeaderMap,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let made = app.by(of.caller.key, of.caller.user).edit_subject(&of.key, body::edit(&body)?, if_match(&headers)?).await?;
    Ok(created("versions", made))
}

/// `GET /v1/subjects/{subject}/versions/{number}`.
pub async fn version(State(app): State<App>, of: SubjectArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(with_etag(app.version(&of.key, of.number()?).await?).into_response())
}

/// `GET /v1/subjects/{subject}/versions/{number}/output`: as JSON, or the text alone if `Accept` names `text/plain`. A text that is too
/// large for an answer is then a redirect to its URL.
pub async fn output(State(app): State<App>, of: SubjectArgs, query: QueryArgs, headers: HeaderMap) -> Result<Response, Problem> {
    query.only(&[])?;
    let output = app.version_output(&of.key, of.number()?).await?;
    if !accepts(&headers, "text/plain") {
        return Ok(Json(output).into_response());
    }
    Ok(match (output.text, output.url) {
        (None, Some(url)) => (StatusCode::SEE_OTHER, [(LOCATION, url)]).into_response(),
        (text, _) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text.unwrap_or_default()).into_response(),
    })
}

/// `POST /v1/subjects/{subject}/versions/{number}/restore`, with a `reason` or without a body.
pub async fn restore(
    State(app): State<App>,
    of: SubjectArgs,
    headers: HeaderMap,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let (number, reason, made_from) = (of.number()?, body::reason_of(&body)?, if_match(&headers)?);
    let made = app.by(of.caller.key, of.caller.user).restore_version(&of.key, number, reason, made_from).await?;
    Ok(created("..", made))
}

/// `PUT /v1/subjects/{subject}/versions/{number}/labels`.
pub async fn label(State(app): State<App>, of: SubjectArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let labels = body::version_labels(&body)?;
    Ok(with_etag(app.label_version(&of.key, of.number()?, labels).await?).into_response())
}

/// `GET /v1/subjects/{subject}/diff?from=&to=`.
pub async fn diff(State(app): State<App>, of: SubjectArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["from", "to"])?;
    Ok(Json(app.diff(&of.key, number(&query, "from")?, number(&query, "to")?).await?).into_response())
}

/// `GET /v1/subjects/{subject}/export?format=&from=&to=`.
pub async fn export(State(app): State<App>, of: SubjectArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["format", "from", "to"])?;
    let format = query.first("format").map(str::parse).transpose()?.unwrap_or_default();
    let file = app.export(&of.key, format, number(&query, "from")?, number(&query, "to")?).await?;
    let disposition = format!("attachment; filename=\"{}\"", file.name);
    Ok(([(CONTENT_TYPE, file.media_type), (CONTENT_DISPOSITION, &disposition)], file.bytes).into_response())
}

/// A new version, which is in this folder, seen from the request's path.
fn created(folder: &str, version: VersionView) -> Response {
    let location = [(LOCATION, format!("{folder}/{}", version.version.number))];
    (StatusCode::CREATED, location, with_etag(version)).into_response()
}

/// A version, with its number as the `ETag` by which an edit names it.
fn with_etag(version: VersionView) -> impl IntoResponse {
    ([(ETAG, format!("\"{}\"", version.version.number))], Json(version))
}

/// A parameter that is the number of a version.
fn number(query: &QueryArgs, name: &str) -> Result<Option<u64>, Error> {
    let number = query.first(name).map(|text| text.parse().ok().filter(|number| (1..=VERSION_NUMBER_MAX).contains(number)));
    let expected = || Error::invalid(name, format!("must be the number of a version, from 1 to {VERSION_NUMBER_MAX}"));
    number.map(|number| number.ok_or_else(expected)).transpose()
}
