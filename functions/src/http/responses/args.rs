//! What the handlers of `/v1/responses` are told.

use axum::extract::{FromRequest, FromRequestParts, Query};
use http::request::Parts;
use lambda_http::RequestExt;
use longhand::responses::{InputOrder, InputQuery, ResponseId};
use longhand::{CreateClaim, Error, Organization};
use tokio::time::Instant;

use super::super::caller::Caller;
use super::super::generations::{header, name_in_path, read_body};
use super::super::problem::Failure;
use super::refusal::Refusal;
use crate::deadline::stop_at;

/// A body, what makes it repeatable, and until when this function may run.
pub struct CreateArgs {
    pub organization: Organization,
    pub request_id: Option<String>,
    pub body: Vec<u8>,
    pub stop_at: Option<Instant>,
    idempotency_key: Option<String>,
    is_retry: bool,
}

impl CreateArgs {
    /// The clients send no key, but count their tries in a header.
    pub fn claim(&self) -> CreateClaim<'_> {
        match (&self.idempotency_key, self.is_retry) {
            (Some(key), _) => CreateClaim::Key(key),
            (None, true) => CreateClaim::Retry,
            (None, false) => CreateClaim::First,
        }
    }
}

/// Which response.
pub struct OneArgs {
    pub organization: Organization,
    pub id: ResponseId,
}

/// Which response, and how.
pub struct RetrieveArgs {
    pub one: OneArgs,
    pub stream: bool,
    pub starting_after: Option<u64>,
}

/// Which page of which response's input.
pub struct InputArgs {
    pub one: OneArgs,
    pub query: InputQuery,
}

impl<S: Send + Sync> FromRequest<S> for CreateArgs {
    type Rejection = Refusal;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Refusal> {
        let stop_at = request.lambda_context_ref().and_then(stop_at);
        let (mut parts, content) = request.into_parts();
        let Caller { organization, request_id, .. } = Caller::from_request_parts(&mut parts, state).await?;
        let idempotency_key = header(&parts.headers, "Idempotency-Key")?;
        let retries = header(&parts.headers, "x-stainless-retry-count")?.and_then(|count| count.parse::<u32>().ok());
        let body = read_body(&parts.headers, content).await?;
        Ok(Self { organization, request_id, body, stop_at, idempotency_key, is_retry: retries.is_some_and(|count| count > 0) })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OneArgs {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Caller { organization, .. } = Caller::from_request_parts(parts, state).await?;
        let id = name_in_path(parts, state).await;
        let id = id.parse().map_err(|_| Error::NotFound(id))?;
        Ok(Self { organization, id })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RetrieveArgs {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let one = OneArgs::from_request_parts(parts, state).await?;
        let query = query(parts, state).await?;
        let stream = match find(&query, "stream") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Error::refused("'stream' must be true or false.", Some("stream"), None).into()),
        };
        let wrong = |_| Error::refused("'starting_after' must be a sequence number.", Some("starting_after"), None);
        let starting_after = find(&query, "starting_after").map(str::parse).transpose().map_err(wrong)?;
        Ok(Self { one, stream, starting_after })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InputArgs {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let one = OneArgs::from_request_parts(parts, state).await?;
        let query = query(parts, state).await?;
        let wrong = |_| Error::refused("'limit' must be a whole number.", Some("limit"), None);
        let limit = find(&query, "limit").map(str::parse).transpose().map_err(wrong)?;
        let order = match find(&query, "order") {
            None | Some("desc") => InputOrder::Descending,
            Some("asc") => InputOrder::Ascending,
            Some(_) => return Err(Error::refused("'order' must be asc or desc.", Some("order"), None).into()),
        };
        let after = find(&query, "after").map(str::to_owned);
        Ok(Self { one, query: InputQuery { limit, order, after } })
    }
}

type Pairs = Vec<(String, String)>;

async fn query<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Pairs, Refusal> {
    let query = Query::<Pairs>::from_request_parts(parts, state).await;
    let Query(pairs) = query.map_err(|error| Error::invalid("query", format!("cannot be read: {}", error.body_text())))?;
    Ok(pairs)
}

fn find<'a>(query: &'a Pairs, name: &str) -> Option<&'a str> {
    query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

impl From<Failure> for Refusal {
    fn from(Failure(error): Failure) -> Self {
        error.into()
    }
}
