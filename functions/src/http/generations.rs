//! `/v1/generations`: handlers unpack, call a verb, and answer.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, EXPECT, LOCATION};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use lambda_http::RequestExt;
use longhand::generation::request::Request;
use longhand::limits::REQUEST_BYTES_MAX;
use longhand::{App, Error, GenerationKey, KeyId, Organization};

use super::caller::Caller;
use super::events::{self, Until};
use super::problem::Failure;
use crate::deadline::{answer_until, stop_at};

/// A body of any length up to the limit, the key that makes the request repeatable, and until when this function may run.
pub struct StartArgs {
    organization: Organization,
    request_id: Option<String>,
    body: Vec<u8>,
    idempotency_key: Option<String>,
    until: Until,
}

/// `POST /v1/generations`.
pub async fn start(State(app): State<App>, args: StartArgs) -> Result<Response, Failure> {
    let app = app.for_request(args.request_id.as_deref());
    let request = Request::parse(&args.body, &app.config().request_rules())?;
    if request.stream {
        return events::start_attached(app, args.organization, &request, args.idempotency_key.as_deref(), args.until).await;
    }
    let started = app.start(&args.organization, &request, args.idempotency_key.as_deref()).await?;
    let location = [(LOCATION, format!("generations/{}", started.id))];
    Ok((StatusCode::ACCEPTED, location, Json(started)).into_response())
}

/// Which page.
pub struct PageArgs {
    organization: Organization,
    pub(super) after: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) wait: Option<u64>,
}

/// `GET /v1/generations?after=ID&limit=N`.
pub async fn list(State(app): State<App>, args: PageArgs) -> Result<Response, Failure> {
    let after = args.after.map(|after| after.parse().map_err(|error| Error::invalid("after", format!("must be an id: {error}"))));
    Ok(Json(app.list(&args.organization, after.transpose()?.as_ref(), args.limit).await?).into_response())
}

/// Which generation.
pub struct OneArgs {
    pub(super) key: GenerationKey,
}

/// `GET /v1/generations/{id}`.
pub async fn get(State(app): State<App>, args: OneArgs) -> Result<Response, Failure> {
    Ok(Json(app.get(&args.key).await?).into_response())
}

/// Which generation, and whether with the JSON so far.
pub struct ProgressArgs {
    one: OneArgs,
    with_partial: bool,
}

/// `GET /v1/generations/{id}/progress?partial=json`.
pub async fn progress(State(app): State<App>, args: ProgressArgs) -> Result<Response, Failure> {
    let OneArgs { key } = args.one;
    let view = if args.with_partial { app.progress_with_partial(&key).await? } else { app.progress(&key).await? };
    Ok(Json(view).into_response())
}

/// `POST /v1/generations/{id}/cancel`. Whatever body it has is not read.
pub async fn cancel(State(app): State<App>, args: OneArgs) -> Result<Response, Failure> {
    Ok(Json(app.cancel(&args.key).await?).into_response())
}

/// `GET /v1/generations/{id}/output`.
pub async fn output(State(app): State<App>, args: OneArgs) -> Result<Response, Failure> {
    Ok(Json(app.output(&args.key).await?).into_response())
}

/// Which generation, and a small body.
pub struct TokenArgs {
    one: OneArgs,
    key: Option<KeyId>,
    body: Vec<u8>,
}

/// `POST /v1/generations/{id}/tokens`.
pub async fn create_token(State(app): State<App>, args: TokenArgs) -> Result<Response, Failure> {
    let token = app.create_read_token(&args.one.key, args.key, &args.body).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(token)).into_response())
}

impl<S: Send + Sync> FromRequest<S> for TokenArgs {
    type Rejection = Failure;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let Caller { key, .. } = Caller::from_request_parts(&mut parts, state).await?;
        let one = OneArgs::from_request_parts(&mut parts, state).await?;
        let body = read_body(&parts.headers, body).await?;
        Ok(Self { one, key, body })
    }
}

impl<S: Send + Sync> FromRequest<S> for StartArgs {
    type Rejection = Failure;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Failure> {
        let context = request.lambda_context_ref();
        let until = Until { stop_at: context.and_then(stop_at), answer: context.and_then(answer_until) };
        let (mut parts, body) = request.into_parts();
        let Caller { organization, request_id, .. } = Caller::from_request_parts(&mut parts, state).await?;
        let idempotency_key = header(&parts.headers, "Idempotency-Key")?;
        let body = read_body(&parts.headers, body).await?;
        Ok(Self { organization, request_id, body, idempotency_key, until })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageArgs {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Caller { organization, .. } = Caller::from_request_parts(parts, state).await?;
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error| Error::invalid("query", format!("cannot be read: {}", error.body_text())))?;
        let find = |name: &str| query.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
        // What is no number is out of bounds, and the verb says which they are.
        let limit = find("limit").map(|limit| limit.parse().unwrap_or(0));
        let wait = find("wait").map(|wait| wait.parse().unwrap_or(u64::MAX));
        Ok(Self { organization, after: find("after"), limit, wait })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ProgressArgs {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let one = OneArgs::from_request_parts(parts, state).await?;
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error| Error::invalid("query", format!("cannot be read: {}", error.body_text())))?;
        let with_partial = match query.iter().find(|(name, _)| name == "partial") {
            None => false,
            Some((_, form)) if form == "json" => true,
            Some(_) => return Err(Error::invalid("partial", "must be `json`, where it is given").into()),
        };
        Ok(Self { one, with_partial })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OneArgs {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Caller { organization, .. } = Caller::from_request_parts(parts, state).await?;
        let id = name_in_path(parts, state).await;
        let id = id.parse().map_err(|_| Error::NotFound(id))?;
        Ok(Self { key: GenerationKey::new(organization, id) })
    }
}

/// The `{id}` of a path. What can be no id names nothing, were it not even text: the answer is that of an absent one.
pub(super) async fn name_in_path<S: Send + Sync>(parts: &mut Parts, state: &S) -> String {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map_or_else(|_| parts.uri.path().split('/').nth(3).unwrap_or_default().to_owned(), |Path(id)| id)
}

/// A body of any length up to the limit.
pub(super) async fn read_body(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Error> {
    let told: Option<usize> = header(headers, CONTENT_LENGTH.as_str())?.and_then(|length| length.parse().ok());
    // A sender that asks first is told before it sends. To one that is sending already an early answer may get lost.
    if let Some(told) = told.filter(|told| *told > REQUEST_BYTES_MAX && headers.contains_key(EXPECT)) {
        return Err(Error::RequestTooLarge(told));
    }
    let too_large = |_| Error::RequestTooLarge(told.unwrap_or(REQUEST_BYTES_MAX + 1));
    to_bytes(body, REQUEST_BYTES_MAX).await.map(|body| body.to_vec()).map_err(too_large)
}

pub(super) fn header(headers: &HeaderMap, name: &str) -> Result<Option<String>, Error> {
    let text = headers.get(name).map(|value| value.to_str().map(str::to_owned));
    text.transpose().map_err(|_| Error::invalid(name, "must be printable ASCII"))
}
