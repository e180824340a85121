//! Arguments that several handlers take from a request.

use std::collections::HashMap;
use std::str::FromStr;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_LENGTH, EXPECT, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::LengthLimitError;
use longhand::limits::{ATTEMPTS_MAX, REQUEST_BYTES_MAX};
use longhand::{Claim, EntityId, Error, FieldError, GenerationId, GenerationKey, ImportId, SubjectKey};

use super::caller::Caller;
use super::problem::Problem;

const NEXT_AFTER: HeaderName = HeaderName::from_static("longhand-next-after");

/// The caller, and the generation or response that the path names.
pub struct OneArgs<Id = GenerationId> {
    pub caller: Caller,
    pub id: Id,
}

/// The caller, the subject that the path names, and the version of it, where the path names one.
pub struct SubjectArgs {
    pub caller: Caller,
    pub key: SubjectKey,
    /// As it stands in the path.
    number: Option<String>,
}

/// The caller, the subject that the path names, and what the path names of it behind that, whose id it is.
pub struct PartArgs<Id> {
    pub caller: Caller,
    pub key: SubjectKey,
    pub id: Id,
}

/// The parameters of the query, in order. A handler of our own routes refuses unknown ones by [`Self::only`]; OpenAI's routes and
/// those of Durable Streams ignore them, as theirs do.
pub struct QueryArgs(Vec<(String, String)>);

/// The `Idempotency-Key` of a request, if it has one.
pub struct IdempotencyKey(pub Option<String>);

/// What tells a repeated request of `OpenAI`'s APIs from a new one.
pub struct ClaimArgs {
    idempotency_key: Option<String>,
    is_retry: bool,
}

/// `X-Longhand-Max-Attempts`, for `OpenAI`'s APIs, which have no such field: with 1, a reader to whom text was streamed gets an error where
/// the provider is interrupted, and no second answer.
pub struct MaxAttempts(pub Option<u32>);

/// A body of at most [`REQUEST_BYTES_MAX`] bytes, whatever its content type.
pub struct BodyBytes(pub Vec<u8>);

impl ClaimArgs {
    /// The claim that an `Idempotency-Key` makes, or else the count of tries.
    ///
    /// # Errors
    /// As [`Claim::of_key`].
    pub fn claim(&self) -> Result<Claim, Error> {
        match &self.idempotency_key {
            Some(key) => Claim::of_key(Some(key)),
            None => Ok(Claim::Create { is_retry: self.is_retry }),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClaimArgs {
    type Rejection = Problem;

    /// The clients send no key, but count their tries in a header.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let IdempotencyKey(idempotency_key) = IdempotencyKey::from_request_parts(parts, state).await?;
        let count = header(&parts.headers, "x-stainless-retry-count")?;
        let is_retry = count.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count > 0);
        Ok(Self { idempotency_key, is_retry })
    }
}

impl OneArgs {
    /// The generation, of the caller's organization.
    pub fn key(&self) -> GenerationKey {
        GenerationKey::new(self.caller.organization.clone(), self.id.clone())
    }
}

impl QueryArgs {
    /// Checks that every parameter is one of `known`, or begins with one of them that ends with a dot.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every other parameter.
    pub fn only(&self, known: &[&str]) -> Result<(), Error> {
        let is_known = |name: &str| known.iter().any(|known| name == *known || known.ends_with('.') && name.starts_with(known));
        let listed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let unknown = self.0.iter().filter(|(name, _)| !is_known(name));
        let errors: Vec<_> = unknown
            .map(|(name, _)| FieldError::new(name, format!("is not a parameter of this route; known: {listed}")))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(Error::InvalidRequest(errors)) }
    }

    /// The first value of a parameter.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The parameters whose names begin with `prefix`, without it.
    pub fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// The parameter `limit`. A text that is no number is 0, which the verbs refuse with the bounds.
    pub fn limit(&self) -> Option<usize> {
        self.first("limit").map(|limit| limit.parse().unwrap_or(0))
    }
}

impl SubjectArgs {
    /// The version that the path names; `None`: `current`.
    ///
    /// # Errors
    /// [`Error::VersionNotFound`]: it is no number.
    pub fn number(&self) -> Result<Option<u64>, Error> {
        match self.number.as_deref() {
            None | Some("current") => Ok(None),
            Some(text) => {
                let number = text.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == text);
                number.map(Some).ok_or_else(|| Error::VersionNotFound(self.key.subject.to_string(), text.to_owned()))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SubjectArgs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let names = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let mut names = names.map_or_else(|_| HashMap::new(), |Path(names)| names);
        let named = names.remove("subject").unwrap_or_else(|| parts.uri.path().split('/').nth(3).unwrap_or_default().to_owned());
        let subject = named.parse().map_err(|_| Error::SubjectNotFound(named))?;
        let key = SubjectKey::new(caller.organization.clone(), subject);
        Ok(Self { caller, key, number: names.remove("number") })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PartArgs<ImportId> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let SubjectArgs { caller, key, .. } = SubjectArgs::from_request_parts(parts, state).await?;
        let named = segment(parts, 5);
        let id = named.parse().map_err(|_| Error::ImportNotFound(key.subject.to_string(), named))?;
        Ok(Self { caller, key, id })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PartArgs<EntityId> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let SubjectArgs { caller, key, .. } = SubjectArgs::from_request_parts(parts, state).await?;
        let named = segment(parts, 5);
        let id = named.parse().map_err(|_| Error::EntityNotFound(key.subject.to_string(), named))?;
        Ok(Self { caller, key, id })
    }
}

/// The `after` of the page behind a file, as the header `Longhand-Next-After`; without it, there is none.
pub fn add_next(response: &mut Response, after: Option<impl ToString>) {
    let after = after.and_then(|after| HeaderValue::from_str(&after.to_string()).ok());
    response.headers_mut().extend(after.map(|after| (NEXT_AFTER, after)));
}

/// A segment of the path as it stands there: no id has a character that would be escaped.
fn segment(parts: &Parts, place: usize) -> String {
    parts.uri.path().split('/').nth(place).unwrap_or_default().to_owned()
}

/// The version that `If-Match` names, by its number: `"3"`. `None`: there is no such field, or it has `*`.
///
/// # Errors
/// [`Error::InvalidRequest`]: it names no version.
pub fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let Some(given) = header(headers, IF_MATCH.as_str())?.filter(|given| given.trim() != "*") else { return Ok(None) };
    let number = given.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(|| Error::invalid("If-Match", "must be the number of a version in quotation marks, like \"3\""))
}

/// Whether `If-None-Match` names this `ETag`, by a weak comparison (RFC 9110, section 13.1.2), or any.
///
/// # Errors
/// [`Error::InvalidRequest`]: it is not printable ASCII.
pub fn is_known(headers: &HeaderMap, etag: &str) -> Result<bool, Error> {
    let known = header(headers, IF_NONE_MATCH.as_str())?.unwrap_or_default();
    Ok(known.split(',').any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == etag))
}

/// Whether `Accept` names a media type, in any case, with or without parameters.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).flat_map(|accept| accept.split(','));
    ranges.filter_map(|range| range.split(';').next()).any(|named| named.trim().eq_ignore_ascii_case(media_type))
}

/// The text of a header field.
///
/// # Errors
/// [`Error::InvalidRequest`]: it is not printable ASCII.
pub fn header(headers: &HeaderMap, name: &str) -> Result<Option<String>, Error> {
    let text = headers.get(name).map(|value| value.to_str().map(str::to_owned));
    text.transpose().map_err(|_| Error::invalid(name, "must be printable ASCII"))
}

impl<S: Send + Sync, Id: FromStr> FromRequestParts<S> for OneArgs<Id> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let name = name_in_path(parts, state).await;
        let id = name.parse().map_err(|_| Error::NotFound(name))?;
        Ok(Self { caller, id })
    }
}

/// The `{id}` of a path. A text that is no id, and bytes that are no text, name nothing, and are answered so.
async fn name_in_path<S: Send + Sync>(parts: &mut Parts, state: &S) -> String {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map_or_else(|_| parts.uri.path().split('/').nth(3).unwrap_or_default().to_owned(), |Path(id)| id)
}

impl<S: Send + Sync> FromRequestParts<S> for QueryArgs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(pairs) = query.map_err(|error| Error::invalid("query", format!("cannot be read: {}", error.body_text())))?;
        Ok(Self(pairs))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self(header(&parts.headers, "Idempotency-Key")?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MaxAttempts {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        const NAME: &str = "X-Longhand-Max-Attempts";
        let Some(given) = header(&parts.headers, NAME)? else { return Ok(Self(None)) };
        let attempts = given.parse().ok().filter(|attempts| (1..=ATTEMPTS_MAX).contains(attempts));
        let wrong = || Error::invalid(NAME, format!("must be a whole number from 1 to {ATTEMPTS_MAX}"));
        attempts.map(|attempts| Self(Some(attempts))).ok_or_else(|| wrong().into())
    }
}

impl<S: Send + Sync> FromRequest<S> for BodyBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let headers = request.headers();
        let length: Option<usize> = header(headers, CONTENT_LENGTH.as_str())?.and_then(|length| length.parse().ok());
        // A sender with `Expect` gets the answer before it sends. A sender that is sending already may lose an early answer.
        if let Some(length) = length.filter(|length| *length > REQUEST_BYTES_MAX && headers.contains_key(EXPECT)) {
            return Err(Error::RequestTooLarge(length).into());
        }
        let body = to_bytes(request.into_body(), REQUEST_BYTES_MAX).await;
        let body = body.map_err(|error| match error.into_inner().downcast::<LengthLimitError>() {
            Ok(_) => Error::RequestTooLarge(length.unwrap_or(REQUEST_BYTES_MAX + 1)),
            Err(error) => Error::invalid("", format!("must arrive whole: {error}")),
        })?;
        Ok(Self(body.into()))
    }
}
