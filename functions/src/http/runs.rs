//! The handlers of `/v1/runs`: each unpacks its arguments, calls a verb, and renders the result.

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Json};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri};
use longhand::runs::body;
use longhand::runs::request::RunRequest;
use longhand::{App, Error, RunId, RunKey, RunQuery, RunTail};
use serde_json::json;

use super::args::{BodyBytes, IdempotencyKey, OneArgs, QueryArgs, is_known};
use super::attached::Until;
use super::caller::Caller;
use super::problem::Problem;
use super::revisions;
use super::sse::{self, EVENT_STREAM, HEARTBEAT};
use crate::invocation::request_id;

/// The caller, and the run that the path names.
pub struct RunArgs {
    caller: Caller,
    key: RunKey,
}

impl<S: Send + Sync> FromRequestParts<S> for RunArgs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let one = OneArgs::<RunId>::from_request_parts(parts, state).await;
        let OneArgs { caller, id } = one.map_err(|Problem(error)| match error {
            Error::NotFound(name) => Problem(Error::RunNotFound(name)),
            error => Problem(error),
        })?;
        let key = RunKey::new(caller.organization.clone(), id);
        Ok(Self { caller, key })
    }
}

/// `POST /v1/runs`.
pub async fn start(
    State(app): State<App>,
    caller: Caller,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let request = RunRequest::parse(&body, caller.user.as_ref())?;
    let app = app.for_request(request_id().as_deref()).by(caller.key, caller.user);
    let run = app.start_run(&caller.organization, &request, idempotency_key.as_deref()).await?;
    let location = [(LOCATION, format!("runs/{}", run.id))];
    Ok((StatusCode::ACCEPTED, location, Json(run)).into_response())
}

/// `POST /v1/runs/{id}/redrive`, with `from` or `version`, or without a body.
pub async fn redrive(
    State(app): State<App>,
    of: RunArgs,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let app = app.for_request(request_id().as_deref()).by(of.caller.key, of.caller.user);
    let run = app.redrive_run(&of.key, &body::redrive(&body)?, idempotency_key.as_deref()).await?;
    // The path of this route is one segment longer than that of a start.
    let location = [(LOCATION, format!("../{}", run.id))];
    Ok((StatusCode::ACCEPTED, location, Json(run)).into_response())
}

/// `POST /v1/runs/{id}/cancel`. The body is not read.
pub async fn cancel(State(app): State<App>, of: RunArgs) -> Result<Response, Problem> {
    Ok(Json(app.cancel_run(&of.key).await?).into_response())
}

/// `GET /v1/runs?pipeline=&status=&after=&limit=`.
pub async fn list(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["pipeline", "status", "after", "limit"])?;
    let after = query.first("after").map(str::parse).transpose();
    let pipeline = query.first("pipeline").map(str::parse).transpose();
    let status = query.first("status").map(|status| serde_json::from_value(status.into())).transpose();
    let query = RunQuery {
        after: after.map_err(|error| Error::invalid("after", format!("must be the id of a run: {error}")))?,
        limit: query.limit(),
        pipeline: pipeline.map_err(|error| Error::invalid("pipeline", format!("must be a pipeline: {error}")))?,
        status: status.map_err(|_| {
            let expected = "must be `pending`, `running`, `cancelling`, `completed`, `failed` or `cancelled`";
            Error::invalid("status", expected)
        })?,
    };
    Ok(Json(app.runs(&caller.organization, &query).await?).into_response())
}

/// `GET /v1/runs/{id}`, with its revision as the `ETag`, by which `If-None-Match` asks whether anything has changed.
pub async fn get(State(app): State<App>, of: RunArgs, query: QueryArgs, headers: HeaderMap) -> Result<Response, Problem> {
    query.only(&[])?;
    let etag = |revision: u64| format!("\"{revision}\"");
    // A header alone is cheaper than a run with its steps and its result.
    if headers.contains_key(http::header::IF_NONE_MATCH) {
        let known = etag(app.run_revision(&of.key).await?);
        if is_known(&headers, &known)? {
            return Ok((StatusCode::NOT_MODIFIED, [(ETAG, known)]).into_response());
        }
    }
    let run = app.run(&of.key).await?;
    Ok(([(ETAG, etag(run.revision))], Json(run)).into_response())
}

/// `DELETE /v1/runs/{id}`.
pub async fn delete(State(app): State<App>, of: RunArgs) -> Result<Response, Problem> {
    app.delete_run(&of.key).await?;
    Ok(Json(json!({ "id": of.key.run, "object": "run", "deleted": true })).into_response())
}

/// `GET /v1/runs/{id}/steps`.
pub async fn steps(State(app): State<App>, of: RunArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(Json(app.run_steps(&of.key).await?).into_response())
}

/// `GET /v1/runs/{id}/steps/{step}`.
pub async fn step(State(app): State<App>, of: RunArgs, uri: Uri, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    // As it stands in the path: the id of a step needs no encoding.
    let step = uri.path().split('/').nth(5).unwrap_or_default();
    Ok(Json(app.run_step(&of.key, step).await?).into_response())
}

/// `GET /v1/runs/{id}/report`.
pub async fn report(State(app): State<App>, of: RunArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(Json(app.run_report(&of.key).await?).into_response())
}

/// `POST /v1/runs/{id}/tokens`.
pub async fn create_token(State(app): State<App>, of: RunArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let token = app.create_run_token(&of.key, of.caller.key, &body).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(token)).into_response())
}

/// `GET /v1/runs/{id}/events?after=REVISION`, server-sent events.
pub async fn events(
    State(app): State<App>,
    of: RunArgs,
    query: QueryArgs,
    headers: HeaderMap,
    until: Until,
) -> Result<Response, Problem> {
    let after = revisions::after(&query, &headers, "run")?;
    let tail = app.run_tail(&of.key, after).await?;
    // At 204 a browser's `EventSource` stops reconnecting.
    if tail.has_ended() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(sse::answer(EVENT_STREAM, Events(tail), HEARTBEAT, Some(until.of_connection(&app))))
}

struct Events(RunTail);

impl sse::Source for Events {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let Some(events) = self.0.next().await? else { return Ok(None) };
        revisions::frames(events.iter().map(|event| (event.name, &event.data, event.id))).map(Some)
    }
}
