//! The authorizer of requests: asks the template's function who calls, and keeps its answers, as API Gateway does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{extract::Request, http::HeaderMap};
use longhand::Clock;
use serde_json::{Map, Value, json};

use crate::{
    lambda::{Hosted, Lambda},
    template::{ACCOUNT, HostedAuthorizer, REGION},
};

/// Answers that are kept; when there are more, all are forgotten.
const KNOWN_MAX: usize = 10_000;

/// Why a caller is not let in, by the name of API Gateway's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credential, or none that is good.
    Unauthorized,
    /// The policy does not allow it.
    AccessDenied,
    /// The function failed.
    AuthorizerFailure,
}

impl Refusal {
    /// The kind of gateway response.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Unauthorized => "UNAUTHORIZED",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::AuthorizerFailure => "AUTHORIZER_CONFIGURATION_ERROR",
        }
    }
}

/// A function that says who calls.
pub struct Authorizer {
    lambda: Lambda,
    hosted: Arc<Hosted>,
    header: String,
    ttl: Duration,
    clock: Clock,
    known: Mutex<HashMap<String, Known>>,
}

/// A request, as its authorizer sees it.
pub struct Question {
    credential: String,
    method_arn: String,
    event: Value,
}

#[derive(Clone)]
struct Known {
    until_ms: i64,
    policy: Value,
    context: Map<String, Value>,
}

impl Authorizer {
    /// The template's authorizer.
    ///
    /// # Errors
    /// Its function is not among those of `lambda`.
    pub fn new(lambda: &Lambda, authorizer: HostedAuthorizer, clock: Clock) -> Result<Self> {
        let HostedAuthorizer { function, header, ttl } = authorizer;
        let hosted = lambda.find(&function).with_context(|| format!("template.yaml has no function {function}"))?.clone();
        Ok(Self { lambda: lambda.clone(), hosted, header, ttl, clock, known: Mutex::default() })
    }

    /// The function.
    pub fn function(&self) -> &Hosted {
        &self.hosted
    }

    /// What the function is to be asked. A request without a credential is refused unasked.
    pub fn question(&self, route: &str, request: &Request) -> Result<Question, Refusal> {
        let credential = request.headers().get(&self.header).and_then(|value| value.to_str().ok());
        let credential = credential.filter(|credential| !credential.is_empty()).ok_or(Refusal::Unauthorized)?.to_owned();
        let method_arn = method_arn(request);
        let event = event(route, &method_arn, request);
        Ok(Question { credential, method_arn, event })
    }

    /// What the function says of the caller.
    pub async fn admit(&self, question: Question) -> Result<Map<String, Value>, Refusal> {
        let Question { credential, method_arn, event } = question;
        let now = self.clock.now_ms();
        let kept = self.known().get(&credential).filter(|known| now < known.until_ms).cloned();
        let known = match kept {
            Some(known) => known,
            None => self.ask(credential, event, now).await?,
        };
        if allows(&known.policy, &method_arn) { Ok(known.context) } else { Err(Refusal::AccessDenied) }
    }

    async fn ask(&self, credential: String, event: Value, now: i64) -> Result<Known, Refusal> {
        let invocation = self.lambda.ask(&self.hosted, event).await;
        if let Some(error) = invocation.error {
            // The one message that API Gateway knows.
            if error["errorMessage"] == "Unauthorized" {
                return Err(Refusal::Unauthorized);
            }
            tracing::error!(function = self.hosted.definition.id, error = %error["errorMessage"], "the authorizer failed");
            return Err(Refusal::AuthorizerFailure);
        }
        let mut context = invocation.answer["context"].as_object().cloned().unwrap_or_default();
        context.insert("principalId".to_owned(), invocation.answer["principalId"].clone());
        let until_ms = now.saturating_add(longhand::clock::millis(self.ttl));
        let known = Known { until_ms, policy: invocation.answer["policyDocument"].clone(), context };
        let mut all = self.known();
        if all.len() >= KNOWN_MAX {
            all.clear();
        }
        all.insert(credential, known.clone());
        Ok(known)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
        "requestContext": { "accountId": ACCOUNT, "apiId": "local", "stage": "local", "resourcePath": route },
    })
}

fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let text = |value: &axum::http::HeaderValue| json!(String::from_utf8_lossy(value.as_bytes()));
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// Whether the policy allows the method, and does not deny it.
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
            texts("Action").iter().any(|action| is_like("execute-api:Invoke", action))
                && texts("Resource").iter().any(|resource| is_like(method_arn, resource))
        })
    };
    has("Allow") && !has("Deny")
}

/// IAM's patterns: `*` is any text, `?` any one character.
fn is_like(text: &str, pattern: &str) -> bool {
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
                // The star takes one character more.
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
    fn a_policy_allows_what_it_names_and_denies_what_it_denies() {
        let allow = json!({ "Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "arn:a/live/*" });
        let deny = json!({ "Action": ["execute-api:*"], "Effect": "Deny", "Resource": ["arn:a/live/DELETE/*"] });
        let policy = json!({ "Statement": [allow, deny] });
        assert!(allows(&policy, "arn:a/live/GET/v1/things"));
        assert!(!allows(&policy, "arn:a/live/DELETE/v1/things"));
        assert!(!allows(&policy, "arn:b/live/GET/v1/things"));
        assert!(!allows(&Value::Null, "arn:a/live/GET/v1/things"));
    }

    #[test]
    fn patterns_are_those_of_iam() {
        for (text, pattern) in [("abc", "abc"), ("abc", "*"), ("abc", "a*"), ("abc", "*c"), ("a-b-c", "a*b*c"), ("abc", "a?c")] {
            assert!(is_like(text, pattern), "{pattern}");
        }
        for (text, pattern) in [("abc", "ab"), ("abc", "b*"), ("abc", "a*b"), ("abc", "a?"), ("", "?")] {
            assert!(!is_like(text, pattern), "{pattern}");
        }
    }
}
