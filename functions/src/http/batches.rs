//! The handlers of `/v1/batches`: each unpacks its arguments, calls a verb, and renders the result.

use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Json};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use longhand::batches::body;
use longhand::batches::report::ReportFormat;
use longhand::batches::request::BatchRequest;
use longhand::limits::{BATCH_ITEMS_MAX, BATCH_WAIT_ITEMS_MAX};
use longhand::{App, BatchId, BatchKey, BatchQuery, BatchResults, BatchTail, BatchView, Error};
use serde_json::json;
use tokio::time::Instant;

use super::args::{BodyBytes, IdempotencyKey, OneArgs, QueryArgs, is_known};
use super::attached::Until;
use super::caller::Caller;
use super::problem::Problem;
use super::revisions;
use super::sse::{self, EVENT_STREAM, HEARTBEAT};
use crate::invocation::request_id;

/// Lines of JSON have no heartbeat that every reader skips. No pause between two lines is so long.
const NO_HEARTBEAT: Duration = Duration::from_hours(1);
const NDJSON: &str = "application/x-ndjson";

/// The caller, and the batch that the path names.
pub struct BatchArgs {
    caller: Caller,
    key: BatchKey,
}

impl<S: Send + Sync> FromRequestParts<S> for BatchArgs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let one = OneArgs::<BatchId>::from_request_parts(parts, state).await;
        let OneArgs { caller, id } = one.map_err(|Problem(error)| match error {
            Error::NotFound(name) => Problem(Error::BatchNotFound(name)),
            error => Problem(error),
        })?;
        let key = BatchKey::new(caller.organization.clone(), id);
        Ok(Self { caller, key })
    }
}

/// `POST /v1/batches`. With `wait`, the answer waits for the end of a small batch.
pub async fn start(
    State(app): State<App>,
    caller: Caller,
    until: Until,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let quota = app.quota(&caller.organization).await?;
    let request = BatchRequest::parse(&body, &app.config().request_rules(), quota.running, caller.user.as_ref())?;
    let app = app.for_request(request_id().as_deref()).by(caller.key, caller.user);
    let batch = app.start_batch(&caller.organization, &request, idempotency_key.as_deref()).await?;
    let to_generate = batch.counts.total - batch.counts.by_status.skipped;
    let is_awaited = !request.wait.is_zero() && to_generate <= BATCH_WAIT_ITEMS_MAX && !batch.status.is_terminal();
    let batch = if is_awaited { awaited(&app, &caller.organization, batch, request.wait, until).await? } else { batch };
    Ok(accepted("batches", batch))
}

/// Waits for the end of a batch, if one of the deployment's places for attached starts is free.
async fn awaited(
    app: &App,
    organization: &longhand::Organization,
    batch: BatchView,
    wait: Duration,
    until: Until,
) -> Result<BatchView, Problem> {
    let left = until.answer.map_or(wait, |end| end.saturating_duration_since(Instant::now()).min(wait));
    let attachment = match app.attach(left).await {
        Ok(attachment) => attachment,
        Err(Error::TooManyAttached(_)) => return Ok(batch),
        Err(error) => return Err(error.into()),
    };
    let ended = app.wait_for_batch(&BatchKey::new(organization.clone(), batch.id), left).await;
    attachment.leave().await;
    Ok(ended?)
}

/// 200 for a batch that has ended, or 202.
fn accepted(folder: &str, batch: BatchView) -> Response {
    let status = if batch.status.is_terminal() { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, [(LOCATION, format!("{folder}/{}", batch.id))], Json(batch)).into_response()
}

/// `POST /v1/batches/{id}/retry`, with `only` or without a body.
pub async fn retry(
    State(app): State<App>,
    of: BatchArgs,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let app = app.for_request(request_id().as_deref()).by(of.caller.key, of.caller.user);
    let batch = app.retry_batch(&of.key, &body::only(&body)?, idempotency_key.as_deref()).await?;
    // The path of this route is one segment longer than that of a start.
    Ok(accepted("..", batch))
}

/// `PATCH /v1/batches/{id}`: another `concurrency`.
pub async fn update(State(app): State<App>, of: BatchArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let app = app.for_request(request_id().as_deref()).by(of.caller.key, of.caller.user);
    Ok(Json(app.resize_batch(&of.key, body::concurrency(&body)?).await?).into_response())
}

/// `POST /v1/batches/{id}/cancel`. The body is not read.
pub async fn cancel(State(app): State<App>, of: BatchArgs) -> Result<Response, Problem> {
    Ok(Json(app.cancel_batch(&of.key).await?).into_response())
}

/// `GET /v1/batches?status=&name=&after=&limit=`.
pub async fn list(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["status", "name", "after", "limit"])?;
    let after = query.first("after").map(str::parse).transpose();
    let has_ended = match query.first("status") {
        None => None,
        Some("open") => Some(false),
        Some("ended") => Some(true),
        Some(_) => return Err(Error::invalid("status", "must be `open` or `ended`").into()),
    };
    let query = BatchQuery {
        after: after.map_err(|error| Error::invalid("after", format!("must be the id of a batch: {error}")))?,
        limit: query.limit(),
        has_ended,
        name: query.first("name").map(str::to_owned),
    };
    Ok(Json(app.batches(&caller.organization, &query).await?).into_response())
}

/// `GET /v1/batches/{id}`, with its revision as the `ETag`, by which `If-None-Match` asks whether anything has changed.
pub async fn get(State(app): State<App>, of: BatchArgs, query: QueryArgs, headers: HeaderMap) -> Result<Response, Problem> {
    query.only(&[])?;
    let batch = app.batch(&of.key).await?;
    let etag = format!("\"{}\"", batch.revision);
    if is_known(&headers, &etag)? {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    Ok(([(ETAG, etag)], Json(batch)).into_response())
}

/// `DELETE /v1/batches/{id}`.
pub async fn delete(State(app): State<App>, of: BatchArgs) -> Result<Response, Problem> {
    app.delete_batch(&of.key).await?;
    Ok(Json(json!({ "id": of.key.batch, "object": "batch", "deleted": true })).into_response())
}

/// `GET /v1/batches/{id}/items?status=&after=&limit=`.
pub async fn items(State(app): State<App>, of: BatchArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["status", "after", "limit"])?;
    let status = query.first("status").map(|status| serde_json::from_value(status.into())).transpose();
    let status = status
        .map_err(|_| Error::invalid("status", "must be `pending`, `running`, `completed`, `failed`, `cancelled` or `skipped`"))?;
    Ok(Json(app.batch_items(&of.key, status, index(&query, "after")?, query.limit()).await?).into_response())
}

/// `GET /v1/batches/{id}/report?format=`.
pub async fn report(State(app): State<App>, of: BatchArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["format"])?;
    let format: ReportFormat = query.first("format").map(str::parse).transpose()?.unwrap_or_default();
    let file = app.batch_report(&of.key, format).await?;
    let name = match format {
        ReportFormat::Markdown => "md",
        ReportFormat::Csv => "csv",
    };
    let disposition = format!("inline; filename=\"{}.{name}\"", of.key.batch);
    Ok(([(CONTENT_TYPE, format.media_type()), (CONTENT_DISPOSITION, &disposition)], file).into_response())
}

/// `POST /v1/batches/{id}/tokens`.
pub async fn create_token(State(app): State<App>, of: BatchArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let token = app.create_batch_token(&of.key, of.caller.key, &body).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(token)).into_response())
}

/// `GET /v1/batches/{id}/results?after=&limit=`: one line of JSON for each item, in their order.
pub async fn results(State(app): State<App>, of: BatchArgs, query: QueryArgs, until: Until) -> Result<Response, Problem> {
    query.only(&["after", "limit"])?;
    let limit = query.first("limit").map(|limit| {
        let limit = limit.parse().ok().filter(|limit| (1..=BATCH_ITEMS_MAX).contains(limit));
        limit.ok_or_else(|| Error::invalid("limit", format!("must be a whole number from 1 to {BATCH_ITEMS_MAX}")))
    });
    let results = app.batch_results(&of.key, index(&query, "after")?, limit.transpose()?).await?;
    let body = sse::body(Lines(results), NO_HEARTBEAT, until.answer);
    Ok(([(CONTENT_TYPE, NDJSON)], body).into_response())
}

/// `GET /v1/batches/{id}/events?after=REVISION`, server-sent events.
pub async fn events(
    State(app): State<App>,
    of: BatchArgs,
    query: QueryArgs,
    headers: HeaderMap,
    until: Until,
) -> Result<Response, Problem> {
    let after = revisions::after(&query, &headers, "batch")?;
    let tail = app.batch_tail(&of.key, after).await?;
    // At 204 a browser's `EventSource` stops reconnecting.
    if tail.has_ended() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(sse::answer(EVENT_STREAM, Events(tail), HEARTBEAT, Some(until.of_connection(&app))))
}

struct Events(BatchTail);

impl sse::Source for Events {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let Some(events) = self.0.next().await? else { return Ok(None) };
        revisions::frames(events.iter().map(|event| (event.name, &event.data, event.id))).map(Some)
    }
}

struct Lines(BatchResults);

impl sse::Source for Lines {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        Ok(self.0.next().await?.map(Bytes::from))
    }

    fn at_deadline(&mut self) -> Result<Option<Bytes>, BoxError> {
        Err("the results take longer than this function may; read the rest with `after`".into())
    }
}

/// A parameter that is the index of an item.
fn index(query: &QueryArgs, name: &str) -> Result<Option<u32>, Error> {
    let index = query.first(name).map(|text| text.parse().ok().filter(|index: &u16| usize::from(*index) < BATCH_ITEMS_MAX));
    let expected = || Error::invalid(name, format!("must be the index of an item, from 0 to {}", BATCH_ITEMS_MAX - 1));
    index.map(|index| index.map(u32::from).ok_or_else(expected)).transpose()
}
