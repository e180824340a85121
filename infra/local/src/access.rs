//! Who reaches the services' TCP ports: programs of this machine that sign with the data folder's key.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::json;
use sha2::{Digest, Sha256};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, Any, CorsLayer};

use crate::key::AwsKey;

/// How long a browser may remember the answer to a preflight, as in the template.
const PREFLIGHT_AGE: Duration = Duration::from_mins(10);
/// The largest request of any service: SQS and Lambda have lower limits, DynamoDB this one.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// `router` for requests of this machine only, and for pages of `cors_origin` (`*`: of any).
pub fn local_only(router: Router, cors_origin: Option<&str>) -> Router {
    let router = cors_origin.map(cors).into_iter().fold(router, Router::layer);
    let allowed = cors_origin.map(str::to_owned);
    router.layer(from_fn(move |request: Request, next: Next| {
        let is_foreign = is_foreign(request.headers(), allowed.as_deref());
        async move {
            if is_foreign { refuse("This port serves programs on this machine only.") } else { next.run(request).await }
        }
    }))
}

/// `router` for requests of this machine that `key` has signed (Signature Version 4). A signature's age is not checked: whoever
/// could repeat a request on loopback can also read the key.
pub fn signed_only(router: Router, key: &AwsKey) -> Router {
    let key = key.clone();
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        let key = key.clone();
        async move {
            let (head, body) = request.into_parts();
            let Ok(body) = to_bytes(body, REQUEST_BYTES_MAX).await else {
                return (StatusCode::PAYLOAD_TOO_LARGE, "The request is too large.").into_response();
            };
            if is_signed(&head, &body, &key) {
                next.run(Request::from_parts(head, Body::from(body))).await
            } else {
                refuse("The request is not signed with this stack's access key.")
            }
        }
    }));
    local_only(router, None)
}

/// Answers preflights, and lets pages of `origin` read the answers. An origin is checked when the functions are configured.
pub fn cors(origin: &str) -> CorsLayer {
    let origin = match origin.parse() {
        Ok(origin) if origin != "*" => AllowOrigin::exact(origin),
        _ => AllowOrigin::any(),
    };
    let cors = CorsLayer::new().allow_origin(origin).allow_methods(AllowMethods::mirror_request());
    cors.allow_headers(AllowHeaders::mirror_request()).expose_headers(Any).max_age(PREFLIGHT_AGE)
}

/// Whether a request comes from a web page of another host than this and `allowed` (`*`: any host), or reaches this host by another
/// name (DNS rebinding). Such a page must not use the keys on this machine.
fn is_foreign(headers: &HeaderMap, allowed: Option<&str>) -> bool {
    let header = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_here = |authority: &str| {
        let host =
            authority.rsplit_once(':').map_or(authority, |(host, port)| if port.ends_with(']') { authority } else { host });
        ["localhost", "127.0.0.1", "[::1]"].contains(&host)
    };
    let origin = header(header::ORIGIN).filter(|origin| allowed.is_none_or(|allowed| allowed != "*" && allowed != *origin));
    let origin = origin.map(|origin| origin.split_once("://").map_or(origin, |(_, authority)| authority));
    origin.is_some_and(|origin| !is_here(origin)) || header(header::HOST).is_some_and(|host| !is_here(host))
}

/// A refusal as problem+json, which the SDKs of AWS read as an error of their own.
fn refuse(message: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": message,
        "code": "forbidden",
        "__type": "AccessDeniedException",
        "message": message,
    });
    let headers = [("content-type", "application/problem+json"), ("x-amzn-errortype", "AccessDeniedException")];
    (StatusCode::FORBIDDEN, headers, body.to_string()).into_response()
}

/// Signs the request again, as its `Authorization` header says that it was signed, and compares.
fn is_signed(head: &Parts, body: &Bytes, key: &AwsKey) -> bool {
    let authorization = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let part = |name: &str| {
        let parts = authorization.trim_start_matches("AWS4-HMAC-SHA256 ").split(',');
        parts.filter_map(|part| part.trim().split_once('=')).find(|(named, _)| *named == name).map(|(_, value)| value)
    };
    let (Some(credential), Some(signed), Some(signature)) = (part("Credential"), part("SignedHeaders"), part("Signature")) else {
        return false;
    };
    let scope: Vec<&str> = credential.split('/').collect();
    let [id, _, region, service, _] = scope[..] else { return false };
    let date = head.headers.get("x-amz-date").and_then(|date| date.to_str().ok()).unwrap_or_default();
    let Ok(time) = DateTime::strptime("%Y%m%dT%H%M%SZ", date).and_then(|date| date.to_zoned(TimeZone::UTC)) else {
        return false;
    };
    let expected = expected_signature(head, body, key, (region, service, time.timestamp()), signed);
    // Hashes are compared, so that the time of the comparison says nothing about the signature.
    let hashed = |signature: &str| Sha256::digest(signature);
    id == key.id && expected.is_some_and(|expected| hashed(&expected) == hashed(signature))
}

fn expected_signature(
    head: &Parts,
    body: &Bytes,
    key: &AwsKey,
    (region, service, time): (&str, &str, Timestamp),
    signed: &str,
) -> Option<String> {
    let identity = Credentials::new(&key.id, &key.secret, None, None, "longhand-local").into();
    let params = v4::SigningParams::builder().identity(&identity).region(region).name(service).time(time.into());
    let params = params.settings(SigningSettings::default()).build().ok()?.into();
    let names = signed.split(';').filter(|name| *name != "x-amz-date");
    let headers: Vec<(&str, &str)> =
        names.map(|name| Some((name, head.headers.get(name)?.to_str().ok()?))).collect::<Option<_>>()?;
    let host = head.headers.get(header::HOST)?.to_str().ok()?;
    let uri = format!("http://{host}{}", head.uri.path_and_query()?);
    let request = SignableRequest::new(head.method.as_str(), uri, headers.into_iter(), SignableBody::Bytes(body)).ok()?;
    Some(sign(request, &params).ok()?.signature().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_pages_are_detected() {
        let foreign = |name: &'static str, value: &str| {
            is_foreign(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]), None)
        };
        for own in ["127.0.0.1:4000", "localhost", "localhost:4000", "[::1]:4000", "[::1]"] {
            assert!(!foreign("host", own) && !foreign("origin", &format!("http://{own}")), "{own}");
        }
        for page in ["evil.example", "evil.example:4000", "127.0.0.1.evil.example:80", "null"] {
            assert!(foreign("origin", page) && foreign("host", page), "{page}");
        }
    }
}
