//! `/v1/responses`: the OpenAI Responses API. Its official clients work by changing their base URL.
//!
//! Whether an answer is a stream is told by the body or the query, never by `Accept`, which the clients do not set.

mod args;
mod refusal;
mod stream;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use longhand::App;
use longhand::responses::parse_create;
use serde_json::{Value, json};

use self::args::{CreateArgs, InputArgs, OneArgs, RetrieveArgs};

use super::events::write_attached;

pub use self::refusal::Refusal;

/// `POST /v1/responses`.
///
/// With `background` it answers at once, and the response is written by a function of its own. Else it is written here: what
/// is shown are its events (`stream`), or the response at its end. In each case the writing goes on if the caller goes away,
/// also where OpenAI's own service would stop: a response that was begun can be retrieved.
pub async fn create(State(app): State<App>, args: CreateArgs) -> Result<Response, Refusal> {
    let app = app.for_request(args.request_id.as_deref());
    let request = parse_create(&args.body, &app.config().request_rules())?;
    let (mut tail, key, is_waiting) = app.accept_response(&args.organization, &request, args.claim()).await?;
    let (background, streams) = request.responses.map_or((false, false), |asked| (asked.background, asked.stream));
    if background && !streams {
        if is_waiting {
            app.hand_over_response(&key).await;
            return Ok(Json(tail.response()).into_response());
        }
        return Ok(Json(tail.now().await?).into_response());
    }
    if is_waiting {
        write_attached(app, &key, args.stop_at);
    }
    Ok(if streams { stream::events(tail) } else { stream::object(tail) })
}

/// `GET /v1/responses/{id}`: the response, or with `stream=true` its events behind `starting_after`.
pub async fn retrieve(State(app): State<App>, args: RetrieveArgs) -> Result<Response, Refusal> {
    let OneArgs { organization, id } = args.one;
    if args.stream {
        return Ok(stream::events(app.stream_response(&organization, &id, args.starting_after).await?));
    }
    Ok(Json(app.response(&organization, &id).await?).into_response())
}

/// `POST /v1/responses/{id}/cancel`. Whatever body it has is not read.
pub async fn cancel(State(app): State<App>, args: OneArgs) -> Result<Json<Value>, Refusal> {
    Ok(Json(app.cancel_response(&args.organization, &args.id).await?))
}

/// `DELETE /v1/responses/{id}`.
pub async fn delete(State(app): State<App>, args: OneArgs) -> Result<Json<Value>, Refusal> {
    app.delete_response(&args.organization, &args.id).await?;
    Ok(Json(json!({ "id": args.id.to_string(), "object": "response", "deleted": true })))
}

/// `GET /v1/responses/{id}/input_items`.
pub async fn input_items(State(app): State<App>, args: InputArgs) -> Result<Response, Refusal> {
    let OneArgs { organization, id } = args.one;
    Ok(Json(app.response_input(&organization, &id, &args.query).await?).into_response())
}
