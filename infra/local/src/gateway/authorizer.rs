//! The Lambda authorizer: invokes the template's authorizer function and caches its responses, as API Gateway does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    extract::{Query, Request},
    http::{HeaderMap, Uri},
};
use longhand::Clock;
use serde_json::{Map, Value, json};

use crate::{
    lambda::{Host, Hosted, request_id, run},
    template::{ACCOUNT, HostedAuthorizer, REGION},
};

/// The cache is cleared when it has this many entries.
const CACHED_MAX: usize = 10_000;

/// Why a caller is rejected, as a type of gateway response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The credential is missing or invalid.
    Unauthorized,
    /// The policy does not allow the request.
    AccessDenied,
    /// The authorizer function failed.
    AuthorizerFailure,
}

impl Refusal {
    /// The type of the gateway response.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Unauthorized => "UNAUTHORIZED",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::AuthorizerFailure => "AUTHORIZER_CONFIGURATION_ERROR",
        }
    }
}

/// An authorizer function with its cache.
pub struct Authorizer {
    hosted: Arc<Hosted>,
    header: Option<String>,
    ttl: Duration,
    clock: Clock,
    cache: Mutex<HashMap<String, Cached>>,
}

/// The authorizer's input for one request.
pub struct AuthorizationRequest {
    /// The identity source, by which the response is cached; `None`: it is not.
    credential: Option<String>,
    method_arn: String,
    event: Value,
}

#[derive(Clone)]
struct Cached {
    until_ms: i64,
    policy: Value,
    context: Map<String, Value>,
}

impl Authorizer {
    /// One of the template's authorizers.
    ///
    /// # Errors
    /// The authorizer's function is not among those of `host`.
    pub fn new(host: &Host, authorizer: HostedAuthorizer, clock: Clock) -> Result<Self> {
        let HostedAuthorizer { function, header, ttl } = authorizer;
        let hosted = host.find(&function).with_context(|| format!("template.yaml has no function {function}"))?.clone();
        Ok(Self { hosted, header, ttl, clock, cache: Mutex::default() })
    }

    /// The authorizer function.
    pub fn function(&self) -> &Hosted {
        &self.hosted
    }

    /// The authorizer's input. A request without the identity source is rejected without invoking the function.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] if the request has no identity source and the authorizer needs it.
    pub fn authorization_request(&self, route: &str, request: &Request) -> Result<AuthorizationRequest, Refusal> {
        let value =
            |header| request.headers().get(header).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
        let credential = match &self.header {
            Some(header) => Some(value(header).ok_or(Refusal::Unauthorized)?.to_owned()),
            None => None,
        };
        let method_arn = method_arn(request);
        let event = event(route, &method_arn, request);
        Ok(AuthorizationRequest { credential, method_arn, event })
    }

    /// The context of the caller, from the cache or from the function.
    ///
    /// # Errors
    /// The function rejects the credential, its policy does not allow the request, or it fails.
    pub async fn authorize(&self, request: AuthorizationRequest) -> Result<Map<String, Value>, Refusal> {
        let AuthorizationRequest { credential, method_arn, event } = request;
        let now = self.clock.now_ms();
        let cached = credential.as_ref().and_then(|credential| self.cache().get(credential).cloned());
        let cached = cached.filter(|cached| now < cached.until_ms);
        let cached = match cached {
            Some(cached) => cached,
            None => self.invoke(credential, event, now).await?,
        };
        if allows(&cached.policy, &method_arn) { Ok(cached.context) } else { Err(Refusal::AccessDenied) }
    }

    async fn invoke(&self, credential: Option<String>, event: Value, now: i64) -> Result<Cached, Refusal> {
        let invocation = run(&self.hosted, event, request_id()).await;
        if let Some(error) = invocation.error {
            // The one message that API Gateway treats as a rejection.
            if error["errorMessage"] == "Unauthorized" {
                return Err(Refusal::Unauthorized);
            }
            tracing::error!(function = self.hosted.definition.id, error = %error["errorMessage"], "the authorizer failed");
            return Err(Refusal::AuthorizerFailure);
        }
        let mut context = invocation.response["context"].as_object().cloned().unwrap_or_default();
        context.insert("principalId".to_owned(), invocation.response["principalId"].clone());
        let until_ms = now.saturating_add(longhand::clock::millis(self.ttl));
        let cached = Cached { until_ms, policy: invocation.response["policyDocument"].clone(), context };
        if let Some(credential) = credential {
            let mut cache = self.cache();
            if cache.len() >= CACHED_MAX {
                cache.clear();
            }
            cache.insert(credential, cached.clone());
        }
        Ok(cached)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<String, Cached>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn method_arn(request: &Request) -> String {
    format!("arn:aws:execute-api:{REGION}:{ACCOUNT}:local/local/{}{}", request.method(), request.uri().path())
}

fn event(route: &str, method_arn: &str, request: &Request) -> Value {
    json!({
        "type": "REQUEST",
        "methodArn": method_arn,
        "resource": route,
        "path": request.uri().path(),
        "httpMethod": request.method().as_str(),
        "headers": headers(request.headers()),
        "queryStringParameters": query(request.uri()),
        "requestContext": { "accountId": ACCOUNT, "apiId": "local", "stage": "local", "resourcePath": route },
    })
}

fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let text = |value: &axum::http::HeaderValue| json!(String::from_utf8_lossy(value.as_bytes()));
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// The last value of each parameter, as API Gateway passes them.
fn query(uri: &Uri) -> HashMap<String, String> {
    Query::try_from_uri(uri).map(|Query(parameters)| parameters).unwrap_or_default()
}

/// Whether the policy allows the method and does not deny it.
fn allows(policy: &Value, method_arn: &str) -> bool {
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        statement => std::slice::from_ref(statement),
    };
    let has = |effect: &str| {
        statements.iter().filter(|statement| statement["Effect"] == effect).any(|statement| {
            let texts = |name: &str| match &statement[name] {
                Value::Array(texts) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                Value::String(text) => vec![text.clone()],
                _ => Vec::new(),
            };
            texts("Action").iter().any(|action| matches_pattern("execute-api:Invoke", action))
                && texts("Resource").iter().any(|resource| matches_pattern(method_arn, resource))
        })
    };
    has("Allow") && !has("Deny")
}

/// Matches IAM's patterns: `*` is any text, `?` any one character.
fn matches_pattern(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut at, mut next, mut star) = (0, 0, None);
    while at < text.len() {
        match pattern.get(next) {
            Some(b'*') => {
                star = Some((next, at));
                next += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[at] => (at, next) = (at + 1, next + 1),
            _ => match star {
                // Backtrack: the star matches one more character.
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, next) = (taken + 1, place + 1);
                }
                None => return false,
            },
        }
    }
    pattern[next..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explicit_deny_overrides_allow() {
        let allow = json!({ "Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "arn:a/live/*" });
        let deny = json!({ "Action": ["execute-api:*"], "Effect": "Deny", "Resource": ["arn:a/live/DELETE/*"] });
        let policy = json!({ "Statement": [allow, deny] });
        assert!(allows(&policy, "arn:a/live/GET/v1/things"));
        assert!(!allows(&policy, "arn:a/live/DELETE/v1/things"));
        assert!(!allows(&policy, "arn:b/live/GET/v1/things"));
        assert!(!allows(&Value::Null, "arn:a/live/GET/v1/things"));
    }

    #[test]
    fn patterns_match_as_in_iam() {
        for (text, pattern) in [("abc", "abc"), ("abc", "*"), ("abc", "a*"), ("abc", "*c"), ("a-b-c", "a*b*c"), ("abc", "a?c")] {
            assert!(matches_pattern(text, pattern), "{pattern}");
        }
        for (text, pattern) in [("abc", "ab"), ("abc", "b*"), ("abc", "a*b"), ("abc", "a?"), ("", "?")] {
            assert!(!matches_pattern(text, pattern), "{pattern}");
        }
    }
}
