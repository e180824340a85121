//! The handlers of `/v1/responses`, the `OpenAI` Responses API. Its official clients work with another base URL.
//!
//! The body or the query decides whether an answer is a stream. `Accept` does not, because the clients do not set it.

mod live;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use longhand::generation::request::Request;
use longhand::responses::{InputOrder, InputQuery, ResponseId, create_request, read_create, refers_to_responses};
use longhand::{App, Error, Scope};
use serde_json::{Value, json};

use super::args::{BodyBytes, ClaimArgs, MaxAttempts, OneArgs, QueryArgs};
use super::attached::{HEAD_WAIT, Until, attached, write_attached};
use super::caller::Caller;
use super::openai_error;
use super::problem::Problem;
use super::whole;
use crate::invocation::request_id;

/// `POST /v1/responses`.
///
/// With `background` the answer is immediate, and another function writes the response. Otherwise this function writes it, and
/// answers with its events (`stream`) or with the response at its end. In each case the writer goes on when the caller goes
/// away, where OpenAI's own service stops: a response that has begun can be retrieved.
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    until: Until,
    claim: ClaimArgs,
    MaxAttempts(max_attempts): MaxAttempts,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let app = app.for_request(request_id().as_deref());
    let mut given = read_create(&body)?;
    if refers_to_responses(&given) {
        // What was answered before is read.
        caller.require(Scope::Read)?;
        given = app.with_referred(&caller.organization, given).await?;
    }
    let request = Request { max_attempts, ..create_request(&given, &app.config().request_rules())? };
    let (background, streams) = request.responses.as_ref().map_or((false, false), |asked| (asked.background, asked.stream));
    let accept = async || {
        let accepted = app.accept_response(&caller.organization, &request, &claim.claim()?).await?;
        Ok::<_, Error>((accepted.needs_writer(), accepted.into_inner()))
    };
    if background && !streams {
        let (needs_writer, mut tail) = accept().await?;
        if needs_writer {
            app.hand_over(tail.key()).await;
            return Ok(Json(tail.response()).into_response());
        }
        return Ok(Json(tail.now().await?).into_response());
    }
    let answer = async {
        let (needs_writer, mut tail) = accept().await?;
        if needs_writer {
            write_attached(&app, tail.key(), until.stop_at);
        }
        if !background && let Some(end) = tail.failed_at_once(HEAD_WAIT).await? {
            return Ok(openai_error::of_provider(&end));
        }
        Ok(if streams { live::events(tail, until.answer) } else { whole::answer(tail, until.answer) })
    };
    attached(&app, until, Box::pin(answer)).await
}

/// `GET /v1/responses/{id}`: the response, or with `stream=true` its events behind `starting_after`.
pub async fn retrieve(
    State(app): State<App>,
    OneArgs { caller, id }: OneArgs<ResponseId>,
    query: QueryArgs,
    until: Until,
) -> Result<Response, Problem> {
    let stream = match query.first("stream") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(refused("'stream' must be true or false.", "stream")),
    };
    let starting_after = query.first("starting_after").map(str::parse).transpose();
    let starting_after = starting_after.map_err(|_| refused("'starting_after' must be a sequence number.", "starting_after"))?;
    if stream {
        let tail = app.stream_response(&caller.organization, &id, starting_after).await?;
        return Ok(live::events(tail, until.answer));
    }
    Ok(Json(app.response(&caller.organization, &id).await?).into_response())
}

/// `POST /v1/responses/{id}/cancel`. The body is not read.
pub async fn cancel(State(app): State<App>, OneArgs { caller, id }: OneArgs<ResponseId>) -> Result<Json<Value>, Problem> {
    Ok(Json(Box::pin(app.cancel_response(&caller.organization, &id)).await?))
}

/// `DELETE /v1/responses/{id}`.
pub async fn delete(State(app): State<App>, OneArgs { caller, id }: OneArgs<ResponseId>) -> Result<Json<Value>, Problem> {
    app.delete_response(&caller.organization, &id).await?;
    Ok(Json(json!({ "id": id.to_string(), "object": "response", "deleted": true })))
}

/// `GET /v1/responses/{id}/input_items`.
pub async fn input_items(
    State(app): State<App>,
    OneArgs { caller, id }: OneArgs<ResponseId>,
    query: QueryArgs,
) -> Result<Response, Problem> {
    let limit = query.first("limit").map(str::parse).transpose();
    let limit = limit.map_err(|_| refused("'limit' must be a whole number.", "limit"))?;
    let order = match query.first("order") {
        None | Some("desc") => InputOrder::Descending,
        Some("asc") => InputOrder::Ascending,
        Some(_) => return Err(refused("'order' must be asc or desc.", "order")),
    };
    let query = InputQuery { limit, order, after: query.first("after").map(str::to_owned) };
    Ok(Json(app.response_input(&caller.organization, &id, &query).await?).into_response())
}

fn refused(message: &str, param: &'static str) -> Problem {
    Error::refused(message, Some(param), None).into()
}
