//! `/v1/stream/generations/{id}`: the read side of the Durable Streams protocol, in its JSON mode. One generation is one
//! stream, one event is one message, and an offset is the number of the next event.

mod place;
mod reply;
mod sse;

use axum::extract::State;
use axum::response::Response;
use http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, StatusCode};
use longhand::{App, LogPage};
use tokio::time::timeout;

use super::generations::OneArgs;
use super::problem::Failure;
use place::{Live, ReadArgs, Start};

/// `GET`: what is stored from `offset` on; with `live`, also what comes after it.
pub async fn read(State(app): State<App>, args: ReadArgs) -> Result<Response, Failure> {
    match args.live {
        None => catch_up(&app, &args).await,
        Some(Live::LongPoll) => long_poll(&app, &args).await,
        Some(Live::Sse) => sse::follow(app, args).await,
    }
}

/// `HEAD`: where the stream stands.
pub async fn head(State(app): State<App>, args: OneArgs) -> Result<Response, Failure> {
    let tail = app.log_tail(&args.key).await?;
    Ok(reply::head(tail))
}

/// What the protocol wants on every answer of the function, errors too. Pages of other origins get what CORS lets them have.
pub async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    response
}

async fn catch_up(app: &App, args: &ReadArgs) -> Result<Response, Failure> {
    let page = page(app, args, args.start).await?;
    if args.start == Start::Now {
        return Ok(reply::now(&page));
    }
    Ok(reply::page(&args.one.key.generation, &page, args.if_none_match.as_deref()))
}

async fn long_poll(app: &App, args: &ReadArgs) -> Result<Response, Failure> {
    let mut found = page(app, args, args.start).await?;
    if found.events.is_empty() && !found.tail.is_closed {
        let from = found.from;
        let mut tail = app.tail(&args.one.key, from.checked_sub(1)).await?;
        // What comes is read again with the page, from where it lies.
        let _ = timeout(app.config().live.long_poll, tail.wait_for_events()).await;
        found = page(app, args, Start::At(from)).await?;
    }
    let mut response = if found.events.is_empty() {
        reply::nothing_new(&found)
    } else {
        reply::page(&args.one.key.generation, &found, args.if_none_match.as_deref())
    };
    if !found.is_last() && response.status() != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(reply::STREAM_CURSOR, place::cursor(args.cursor).into());
    }
    Ok(response)
}

async fn page(app: &App, args: &ReadArgs, start: Start) -> Result<LogPage, Failure> {
    let from = match start {
        Start::At(seq) => Some(seq),
        Start::Now => None,
    };
    Ok(app.log_page(&args.one.key, from).await?)
}
