//! The handlers of `/v1/generations`: each unpacks its arguments, calls a verb, and renders the result.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, StatusCode};
use longhand::clock::millis_of;
use longhand::generation::request::Request;
use longhand::{App, Claim, Error, GenerationId, ListQuery, Order};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::args::{BodyBytes, IdempotencyKey, OneArgs, QueryArgs, accepts, is_known};
use super::attached::{Until, attached, write_attached};
use super::caller::Caller;
use super::events;
use super::problem::Problem;
use crate::invocation::request_id;

/// Hex digits of an `ETag`.
const ETAG_DIGITS: usize = 32;

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
    let app = app.for_request(request_id().as_deref()).by(caller.key, caller.user);
    let (organization, idempotency_key) = (caller.organization, idempotency_key.as_deref());
    let request = Request::parse(&body, &app.config().request_rules())?;
    if !request.stream {
        let started = app.start(&organization, &request, idempotency_key).await?;
        return Ok((StatusCode::ACCEPTED, location(&started.id), Json(started)).into_response());
    }
    let answer = async {
        let accepted = app.accept(&organization, &request, &Claim::of_key(idempotency_key)?).await?;
        let (needs_writer, key) = (accepted.needs_writer(), accepted.into_inner().key());
        let tail = app.tail(&key, None).await?;
        if needs_writer {
            write_attached(&app, &key, until.stop_at);
        }
        Ok((location(&key.generation), events::answer(tail, until.answer)).into_response())
    };
    attached(&app, until, Box::pin(answer)).await
}

fn location(id: &GenerationId) -> impl axum::response::IntoResponseParts + use<> {
    [(LOCATION, format!("generations/{id}"))]
}

/// `POST /v1/generations/{id}/retry`. The body is not read.
pub async fn retry(
    State(app): State<App>,
    one: OneArgs,
    IdempotencyKey(idempotency_key): IdempotencyKey,
) -> Result<Response, Problem> {
    let app = app.for_request(request_id().as_deref()).by(one.caller.key.clone(), one.caller.user.clone());
    let started = app.retry(&one.key(), idempotency_key.as_deref()).await?;
    // The path of this route is one segment longer than that of a start.
    let location = [(LOCATION, format!("../{}", started.id))];
    Ok((StatusCode::ACCEPTED, location, Json(started)).into_response())
}

/// `GET /v1/generations`, with the parameters of [`list_query`].
pub async fn list(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    Ok(Json(app.list(&caller.organization, &list_query(&query)?).await?).into_response())
}

/// `after`, `limit`, `order`, `since`, `until`, `status`, `provider`, `model`, `subject`, `batch`, and `metadata.KEY` for each entry.
fn list_query(query: &QueryArgs) -> Result<ListQuery, Error> {
    const ENTRY: &str = "metadata.";
    query.only(&["after", "limit", "order", "since", "until", "status", "provider", "model", "subject", "batch", ENTRY])?;
    let subject = query.first("subject").map(str::parse).transpose();
    let batch = query.first("batch").map(str::parse).transpose();
    let after = query.first("after").map(str::parse).transpose();
    let moment = |name: &str| {
        let expected = || Error::invalid(name, "must be a time like 2026-11-21T09:30:00Z (RFC 3339)");
        query.first(name).map(|moment| millis_of(moment).ok_or_else(expected)).transpose()
    };
    let order = match query.first("order") {
        None | Some("desc") => Order::Descending,
        Some("asc") => Order::Ascending,
        Some(_) => return Err(Error::invalid("order", "must be `desc` (newest first) or `asc`")),
    };
    let status = query.first("status").map(|status| serde_json::from_value(status.into())).transpose();
    Ok(ListQuery {
        after: after.map_err(|error| Error::invalid("after", format!("must be an id: {error}")))?,
        limit: query.limit(),
        order,
        since_ms: moment("since")?,
        until_ms: moment("until")?,
        status: status.map_err(|_| {
            Error::invalid("status", "must be `pending`, `running`, `completed`, `incomplete`, `failed` or `cancelled`")
        })?,
        provider: query.first("provider").map(str::to_owned),
        model: query.first("model").map(str::to_owned),
        subject: subject.map_err(|error| Error::invalid("subject", format!("must be a subject: {error}")))?,
        batch: batch.map_err(|error| Error::invalid("batch", format!("must be the id of a batch: {error}")))?,
        metadata: query.starting_with(ENTRY).map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    })
}

/// `GET` and `HEAD /v1/generations/{id}`, with an `ETag`, by which `If-None-Match` asks whether anything has changed.
pub async fn get(State(app): State<App>, one: OneArgs, query: QueryArgs, headers: HeaderMap) -> Result<Response, Problem> {
    query.only(&[])?;
    let generation = app.get(&one.key()).await?;
    let body = serde_json::to_string(&generation).map_err(|error| Error::Internal(error.to_string()))?;
    let digest = format!("{:x}", Sha256::digest(&body));
    let etag = format!("\"{}\"", &digest[..ETAG_DIGITS]);
    if is_known(&headers, &etag)? {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    Ok(([(ETAG, etag.as_str()), (CONTENT_TYPE, "application/json")], body).into_response())
}

/// `DELETE /v1/generations/{id}`.
pub async fn delete(State(app): State<App>, one: OneArgs) -> Result<Response, Problem> {
    let deleted = app.delete(&one.key()).await?;
    Ok(Json(json!({ "id": deleted.id, "object": "generation", "deleted": true })).into_response())
}

/// `GET /v1/generations/{id}/validation_issues`.
pub async fn issues(State(app): State<App>, one: OneArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(Json(app.validation_issues(&one.key()).await?).into_response())
}

/// `GET /v1/generations/{id}/progress?partial=json`.
pub async fn progress(State(app): State<App>, one: OneArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["partial"])?;
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

/// `GET /v1/generations/{id}/output`: as JSON, or the text alone if `Accept` names `text/plain`. A text that is too large for an answer
/// is then a redirect to its URL.
pub async fn output(State(app): State<App>, one: OneArgs, query: QueryArgs, headers: HeaderMap) -> Result<Response, Problem> {
    query.only(&[])?;
    let output = app.output(&one.key()).await?;
    if !accepts(&headers, "text/plain") {
        return Ok(Json(output).into_response());
    }
    Ok(match (output.text, output.url) {
        (None, Some(url)) => (StatusCode::SEE_OTHER, [(LOCATION, url)]).into_response(),
        (text, _) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text.unwrap_or_default()).into_response(),
    })
}

/// `POST /v1/generations/{id}/tokens`.
pub async fn create_token(State(app): State<App>, one: OneArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let token = app.create_read_token(&one.key(), one.caller.key, &body).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(token)).into_response())
}
