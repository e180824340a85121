//! The handlers of `/v1/generations`: each unpacks its arguments, calls a verb, and renders the result.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, LOCATION};
use longhand::generation::request::Request;
use longhand::{App, Claim, Error, GenerationId};

use super::args::{BodyBytes, IdempotencyKey, OneArgs, QueryArgs};
use super::attached::{Until, write_attached};
use super::caller::Caller;
use super::events;
use super::problem::Problem;
use crate::invocation::request_id;

/// `POST /v1/generations`. With `stream: true` the log is written in this function, and is the answer. The writer goes on when
/// the caller goes away, and after this function's time; the answer ends with that time, and the caller reads the rest from
/// `/v1/generations/{id}/events`.
pub async fn start(
    State(app): State<App>,
    caller: Caller,
    until: Until,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let app = app.for_request(request_id().as_deref());
    let (organization, idempotency_key) = (caller.organization, idempotency_key.as_deref());
    let request = Request::parse(&body, &app.config().request_rules())?;
    if !request.stream {
        let started = app.start(&organization, &request, idempotency_key).await?;
        return Ok((StatusCode::ACCEPTED, location(&started.id), Json(started)).into_response());
    }
    let accepted = app.accept(&organization, &request, &Claim::of_key(idempotency_key)?).await?;
    let (needs_writer, key) = (accepted.needs_writer(), accepted.into_inner().key());
    let tail = app.tail(&key, None).await?;
    if needs_writer {
        write_attached(app, &key, until.stop_at);
    }
    Ok((location(&key.generation), events::answer(tail, until.answer)).into_response())
}

fn location(id: &GenerationId) -> impl axum::response::IntoResponseParts + use<> {
    [(LOCATION, format!("generations/{id}"))]
}

/// `GET /v1/generations?after=ID&limit=N`.
pub async fn list(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    let after = query.first("after").map(str::parse).transpose();
    let after = after.map_err(|error| Error::invalid("after", format!("must be an id: {error}")))?;
    Ok(Json(app.list(&caller.organization, after.as_ref(), query.limit()).await?).into_response())
}

/// `GET /v1/generations/{id}`.
pub async fn get(State(app): State<App>, one: OneArgs) -> Result<Response, Problem> {
    Ok(Json(app.get(&one.key()).await?).into_response())
}

/// `GET /v1/generations/{id}/progress?partial=json`.
pub async fn progress(State(app): State<App>, one: OneArgs, query: QueryArgs) -> Result<Response, Problem> {
    let view = match query.first("partial") {
        None => app.progress(&one.key()).await?,
        Some("json") => app.progress_with_partial(&one.key()).await?,
        Some(_) => return Err(Error::invalid("partial", "must be `json`, where it is given").into()),
    };
    Ok(Json(view).into_response())
}

/// `POST /v1/generations/{id}/cancel`. The body is not read.
pub async fn cancel(State(app): State<App>, one: OneArgs) -> Result<Response, Problem> {
    Ok(Json(app.cancel(&one.key()).await?).into_response())
}

/// `GET /v1/generations/{id}/output`.
pub async fn output(State(app): State<App>, one: OneArgs) -> Result<Response, Problem> {
    Ok(Json(app.output(&one.key()).await?).into_response())
}

/// `POST /v1/generations/{id}/tokens`.
pub async fn create_token(State(app): State<App>, one: OneArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let token = app.create_read_token(&one.key(), one.caller.key, &body).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(token)).into_response())
}
