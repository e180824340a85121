//! The handlers of `/v1/stream/generations/{id}`: the read side of the Durable Streams protocol, in its JSON mode. One
//! generation is one stream, one event is one message, and an offset is the number of the next event.

mod position;
mod reply;
mod sse;

use axum::extract::State;
use axum::response::Response;
use http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, StatusCode};
use longhand::{App, LogPage};
use tokio::time::timeout;

use super::args::OneArgs;
use super::attached::Until;
use super::problem::Problem;
use position::{Live, ReadArgs, Start};

/// `GET`: the stored events from `offset` on; with `live`, also the next ones.
pub async fn read(State(app): State<App>, one: OneArgs, args: ReadArgs, until: Until) -> Result<Response, Problem> {
    match args.live {
        None => catch_up(&app, &one, &args).await,
        Some(Live::LongPoll) => long_poll(&app, &one, &args).await,
        Some(Live::Sse) => sse::follow(app, &one, &args, until.answer).await,
    }
}

/// `HEAD`: the stream's next offset, and whether the stream is closed.
pub async fn head(State(app): State<App>, one: OneArgs) -> Result<Response, Problem> {
    Ok(reply::head(app.log_tail(&one.key()).await?))
}

/// The headers that the protocol requires on every answer, errors included. CORS overrides them for the pages that it allows.
pub async fn add_security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    response
}

async fn catch_up(app: &App, one: &OneArgs, args: &ReadArgs) -> Result<Response, Problem> {
    let page = page(app, one, args.start).await?;
    if args.start == Start::Now {
        return Ok(reply::now(&page));
    }
    Ok(reply::page(&one.id, &page, args.if_none_match.as_deref()))
}

async fn long_poll(app: &App, one: &OneArgs, args: &ReadArgs) -> Result<Response, Problem> {
    let mut found = page(app, one, args.start).await?;
    if found.events.is_empty() && !found.tail.is_closed {
        let from = found.from;
        let mut tail = app.tail(&one.key(), from.checked_sub(1)).await?;
        // The page reads the events again, and reports an error.
        let _ = timeout(app.config().live.long_poll, tail.wait_for_events()).await;
        found = page(app, one, Start::At(from)).await?;
    }
    let mut response = if found.events.is_empty() {
        reply::nothing_new(&found)
    } else {
        reply::page(&one.id, &found, args.if_none_match.as_deref())
    };
    if !found.is_last() && response.status() != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(reply::STREAM_CURSOR, position::cursor(args.cursor).into());
    }
    Ok(response)
}

async fn page(app: &App, one: &OneArgs, start: Start) -> Result<LogPage, Problem> {
    let from = match start {
        Start::At(seq) => Some(seq),
        Start::Now => None,
    };
    Ok(app.log_page(&one.key(), from).await?)
}
