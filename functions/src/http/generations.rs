//! `/v1/generations`: handlers unpack, call a verb, and answer.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, LOCATION};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use longhand::limits::REQUEST_BYTES_MAX;
use longhand::{App, Error, GenerationId, Organization};

use super::caller::Caller;
use super::problem::Failure;

/// A body of any length up to the limit, and the key that makes the request repeatable.
pub struct StartArgs {
    organization: Organization,
    body: Vec<u8>,
    idempotency_key: Option<String>,
}

/// `POST /v1/generations`.
pub async fn start(State(app): State<App>, args: StartArgs) -> Result<Response, Failure> {
    let started = app.start(&args.organization, &args.body, args.idempotency_key.as_deref()).await?;
    let location = [(LOCATION, format!("/v1/generations/{}", started.id))];
    Ok((StatusCode::ACCEPTED, location, Json(started)).into_response())
}

/// Which page.
pub struct PageArgs {
    organization: Organization,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/generations?after=ID&limit=N`.
pub async fn list(State(app): State<App>, args: PageArgs) -> Result<Response, Failure> {
    let after = args.after.map(|after| after.parse().map_err(|error| Error::invalid("after", format!("must be an id: {error}"))));
    Ok(Json(app.list(&args.organization, after.transpose()?.as_ref(), args.limit).await?).into_response())
}

/// Which generation.
pub struct OneArgs {
    organization: Organization,
    id: GenerationId,
}

/// `GET /v1/generations/{id}`.
pub async fn get(State(app): State<App>, args: OneArgs) -> Result<Response, Failure> {
    Ok(Json(app.get(&args.organization, &args.id).await?).into_response())
}

/// `GET /v1/generations/{id}/progress`.
pub async fn progress(State(app): State<App>, args: OneArgs) -> Result<Response, Failure> {
    Ok(Json(app.progress(&args.organization, &args.id).await?).into_response())
}

/// `GET /v1/generations/{id}/events?after=SEQ&limit=N`.
pub async fn events(State(app): State<App>, args: OneArgs, page: PageArgs) -> Result<Response, Failure> {
    let number = |after: String| after.parse().map_err(|_| Error::invalid("after", "must be the number of an event, 0 or more"));
    let after = page.after.map(number).transpose()?;
    Ok(Json(app.events(&args.organization, &args.id, after, page.limit).await?).into_response())
}

/// `GET /v1/generations/{id}/output`.
pub async fn output(State(app): State<App>, args: OneArgs) -> Result<Response, Failure> {
    Ok(Json(app.output(&args.organization, &args.id).await?).into_response())
}

impl<S: Send + Sync> FromRequest<S> for StartArgs {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let Caller(organization) = Caller::from_request_parts(&mut parts, state).await?;
        let idempotency_key = header(&parts.headers, "Idempotency-Key")?;
        let told = header(&parts.headers, CONTENT_LENGTH.as_str())?.and_then(|length| length.parse().ok());
        let too_large = |_| Error::RequestTooLarge(told.unwrap_or(REQUEST_BYTES_MAX + 1));
        let body = to_bytes(body, REQUEST_BYTES_MAX).await.map_err(too_large)?;
        Ok(Self { organization, body: body.to_vec(), idempotency_key })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageArgs {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Caller(organization) = Caller::from_request_parts(parts, state).await?;
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error| Error::invalid("query", format!("cannot be read: {}", error.body_text())))?;
        let find = |name: &str| query.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
        // What is no number is out of bounds, and the verb says which they are.
        Ok(Self { organization, after: find("after"), limit: find("limit").map(|limit| limit.parse().unwrap_or(0)) })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OneArgs {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Caller(organization) = Caller::from_request_parts(parts, state).await?;
        let path = Path::<String>::from_request_parts(parts, state).await;
        // What can be no id names nothing, were it not even text: the answer is that of an absent one.
        let id = path.map_or_else(|_| parts.uri.path().split('/').nth(3).unwrap_or_default().to_owned(), |Path(id)| id);
        let id = id.parse().map_err(|_| Error::NotFound(id))?;
        Ok(Self { organization, id })
    }
}

fn header(headers: &HeaderMap, name: &str) -> Result<Option<String>, Error> {
    let text = headers.get(name).map(|value| value.to_str().map(str::to_owned));
    text.transpose().map_err(|_| Error::invalid(name, "must be printable ASCII"))
}
