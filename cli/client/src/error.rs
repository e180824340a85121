//! What a call of the API fails with.

use std::fmt;
use std::time::Duration;

use longhand::FieldError;
use longhand::error::InputError;
use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

const EXCERPT_CHARS_MAX: usize = 200;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not an absolute URL.
    #[error("{0:?} is not the address of an API")]
    Address(String),
    /// The HTTP client cannot be built.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// No response came, or it broke off.
    #[error("{url} does not answer: {cause}")]
    Unreachable {
        /// Scheme, host and port.
        url: String,
        /// The innermost cause.
        cause: String,
    },
    /// A response with a status other than success.
    #[error(transparent)]
    Problem(#[from] Box<Problem>),
    /// A successful response that is not as the API describes it.
    #[error("{what} is not in the expected form: {cause}")]
    Unexpected {
        /// Which part of which response.
        what: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// A response with a status other than success: its `application/problem+json` (RFC 9457), or what another body gives.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The response's status.
    pub status: StatusCode,
    /// The error's stable code, such as `not_found`; `None` where the response is a gateway's own.
    pub code: Option<String>,
    /// One sentence; empty where the body gives none. It does not repeat `errors`.
    pub detail: String,
    /// The fields of the request that are not valid.
    pub errors: Vec<FieldError>,
    /// The same of a run's input, with their places as people read them, and what was expected there.
    pub input_errors: Vec<InputError>,
    /// How many more of them there are.
    pub more_errors: usize,
    /// The id of the request, for the API's log.
    pub request_id: Option<String>,
    /// The header `Retry-After`, where it is a number of seconds.
    pub retry_after: Option<Duration>,
}

#[derive(Default, Deserialize)]
struct Body {
    code: Option<Value>,
    detail: Option<String>,
    title: Option<String>,
    message: Option<String>,
    #[serde(default)]
    errors: Vec<BodyError>,
    #[serde(default)]
    more_errors: usize,
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct BodyError {
    #[serde(flatten)]
    error: FieldError,
    path: Option<String>,
    expected: Option<String>,
}

impl BodyError {
    fn of_input(&self) -> Option<InputError> {
        let (path, expected) = (self.path.clone()?, self.expected.clone()?);
        let pointer = self.error.pointer.strip_prefix("/input").unwrap_or(&self.error.pointer).to_owned();
        Some(InputError { path, pointer, message: self.error.detail.clone(), expected })
    }
}

impl Error {
    pub(crate) fn unreachable(error: &reqwest::Error) -> Self {
        let url = error.url().map_or_else(|| "the API".to_owned(), |url| url.origin().ascii_serialization());
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::Unreachable { url, cause: cause.to_string() }
    }

    /// The problem that the API returned, if it returned one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Problem(problem) = self { Some(problem) } else { None }
    }

    /// The status of the API's response, if it is not a success.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.problem().map(|problem| problem.status)
    }

    /// Whether the same call may succeed later: nothing answered, or the status is 429 or 5xx.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let busy = |status: StatusCode| status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        matches!(self, Self::Unreachable { .. }) || self.status().is_some_and(busy)
    }
}

impl Problem {
    pub(crate) async fn read(response: Response) -> Result<Box<Self>, Error> {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let is_json = header(CONTENT_TYPE).is_some_and(|kind| kind.contains("json"));
        let retry_after = header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let location = header(LOCATION).filter(|_| status.is_redirection());
        let bytes = response.bytes().await.map_err(|error| Error::unreachable(&error))?;
        let body: Body = if is_json { serde_json::from_slice(&bytes).unwrap_or_default() } else { Body::default() };
        let redirect = location.map(|location| format!("the address redirects to {location}, which is not followed"));
        let detail = redirect.or(body.detail).or(body.title).or(body.message);
        let detail = detail.unwrap_or_else(|| excerpt(&String::from_utf8_lossy(&bytes)));
        let input_errors = body.errors.iter().filter_map(BodyError::of_input).collect();
        let errors: Vec<FieldError> = body.errors.into_iter().map(|error| error.error).collect();
        Ok(Box::new(Self {
            status,
            code: body.code.as_ref().and_then(Value::as_str).map(str::to_owned),
            detail: without_errors(detail, &errors),
            errors,
            input_errors,
            more_errors: body.more_errors,
            request_id: body.request_id,
            retry_after,
        }))
    }
}

/// The part of a detail before the errors that it repeats.
fn without_errors(mut detail: String, errors: &[FieldError]) -> String {
    if let Some(repeated) = errors.first().and_then(|first| detail.find(&line(first))) {
        detail.truncate(repeated);
        detail.truncate(detail.trim_end_matches([':', ' ']).len());
    }
    detail
}

fn line(error: &FieldError) -> String {
    format!("{} {}", error.pointer, error.detail).trim().to_owned()
}

/// The beginning of a body, in one line.
pub(crate) fn excerpt(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT_CHARS_MAX).collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = if self.detail.is_empty() { "the API gave no reason" } else { &self.detail };
        write!(formatter, "{detail} ({})", self.status)?;
        self.errors.iter().try_for_each(|error| write!(formatter, "\n  {}", line(error)))
    }
}

impl std::error::Error for Problem {}
