//! Errors before the stream begins: HTTP status and headers.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use tokio::time::{Instant, timeout_at};

use super::{Fault, ProviderError, errors};
use crate::limits::{PROVIDER_ERROR_BYTES_MAX, PROVIDER_ERROR_WAIT, SSE_EVENT_BYTES_MAX};
use crate::retry;

/// The error for a request that did not reach the provider, or whose response did not begin.
pub(super) fn unreachable(error: &reqwest::Error) -> ProviderError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let host = error.url().and_then(|url| Some((url.host_str()?, url.port())));
    let place = match host {
        Some((host, Some(port))) => format!(" at {host}:{port}"),
        Some((host, None)) => format!(" at {host}"),
        None => String::new(),
    };
    let in_time = if error.is_timeout() { " in time" } else { "" };
    ProviderError::new(Fault::Unreachable, format!("the provider{place} could not be reached{in_time}: {cause}"))
}

/// Passes an event stream on. Status 200 is not enough: a gateway may return JSON or HTML instead of a stream.
pub(super) async fn expect_stream(response: Response, media_type: &str) -> Result<Response, ProviderError> {
    let status = response.status();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    if status.is_success() && content_type.to_ascii_lowercase().starts_with(media_type) {
        return expect_plain(response);
    }
    if status.is_success() {
        let reported = errors::in_body(&body_start(response).await);
        let detail = reported.unwrap_or_else(|| "no event stream".into());
        let kind = if content_type.is_empty() { "no content type" } else { &content_type };
        let message = format!("the provider answered {status} with {kind} instead of {media_type}: {detail}");
        return Err(ProviderError::new(Fault::NotAStream, message));
    }
    Err(refused(response).await)
}

/// The error for an answer of another status than 2xx.
pub(super) async fn refused(response: Response) -> ProviderError {
    let status = response.status();
    let retry_after = retry_after(response.headers(), Timestamp::now());
    let message = match errors::in_body(&body_start(response).await) {
        Some(reported) => format!("the provider answered {status}: {reported}"),
        None => format!("the provider answered {status}"),
    };
    ProviderError::new(errors::fault(status), message).with_retry_after(retry_after).with_status(Some(status.as_u16()))
}

/// Refuses a content encoding: the request offers none.
fn expect_plain(response: Response) -> Result<Response, ProviderError> {
    let encoding = response.headers().get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match encoding.filter(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")) {
        None => Ok(response),
        Some(encoding) => {
            let status = response.status();
            let message = format!("the provider answered {status} with the content encoding {encoding}, which was not requested");
            Err(ProviderError::new(Fault::NotAStream, message))
        }
    }
}

/// The text of an answer that is not streamed, with the bound of an event.
pub(super) async fn bounded_body(mut response: Response) -> Result<String, ProviderError> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| unreachable(&error))? {
        body.extend_from_slice(&bytes);
        if body.len() > SSE_EVENT_BYTES_MAX {
            let message = format!("the provider answered more than {SSE_EVENT_BYTES_MAX} bytes");
            return Err(ProviderError::new(Fault::Unreadable, message));
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The beginning of an error body, bounded in bytes and time: a body that does not end must not delay the error.
async fn body_start(mut response: Response) -> Vec<u8> {
    let give_up_at = Instant::now() + PROVIDER_ERROR_WAIT;
    let mut body = Vec::new();
    while body.len() < PROVIDER_ERROR_BYTES_MAX {
        match timeout_at(give_up_at, response.chunk()).await {
            Ok(Ok(Some(bytes))) => body.extend_from_slice(&bytes),
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        }
    }
    body
}

/// The requested wait: `retry-after-ms`, then `retry-after` in seconds or as a date (RFC 9110), then the header in which
/// `LiteLLM` forwards that of its upstream.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(ms / 1_000.0).ok();
    }
    let value = text("retry-after").or_else(|| text("llm_provider-retry-after"))?;
    retry::after(value, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(name: &'static str, value: &'static str) -> Option<Duration> {
        let headers = [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect();
        retry_after(&headers, "2026-11-21T09:00:00Z".parse().unwrap())
    }

    #[test]
    fn retry_after_is_parsed_in_every_form() {
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(wait("llm_provider-retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(wait("retry-after", "Sat, 21 Nov 2026 09:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("retry-after", "Sat, 21 Nov 2026 08:00:00 GMT"), Some(Duration::ZERO), "a past moment");
        for nonsense in ["", "soon", "-1", "inf", "NaN", "1e400"] {
            assert_eq!(wait("retry-after", nonsense), None, "{nonsense:?}");
        }
    }
}
