//! `authorize`, the authorizer that API Gateway invokes. API Gateway caches its policy by the header alone, so the policy is for
//! the whole stage; the functions check the scopes of their routes.

use std::collections::BTreeMap;

use lambda_runtime::{Error, LambdaEvent};
use longhand::{App, KeyId};
use serde::Deserialize;
use serde_json::{Value, json};

/// The exact message for which API Gateway answers 401.
const UNAUTHORIZED: &str = "Unauthorized";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method_arn: String,
    headers: Option<BTreeMap<String, String>>,
}

/// Returns a policy for the whole stage, and a context that identifies the caller.
///
/// # Errors
/// `Unauthorized`; or the payload is no request, or the keys cannot be loaded, and API Gateway answers 500.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    // serde's error may quote the payload, with the credential.
    let request = Request::deserialize(&event.payload).map_err(|_| "the payload must be an authorizer's request")?;
    let grant = match credential(&request) {
        Some(credential) => app.authorize(credential).await?,
        None => None,
    };
    let grant = grant.ok_or(UNAUTHORIZED)?;
    let principal = grant.key.as_ref().map_or("token", KeyId::as_str);
    // API Gateway rejects a context with lists or null.
    let mut context = json!({ "organization": grant.organization, "scopes": grant.scopes.to_string() });
    for (name, value) in [
        ("key", grant.key.as_ref().map(ToString::to_string)),
        ("generation", grant.generation.map(|generation| generation.to_string())),
        ("valid_until", grant.valid_until.map(|until| until.to_string())),
    ] {
        if let Some(value) = value {
            context[name] = value.into();
        }
    }
    Ok(json!({
        "principalId": principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{ "Action": "execute-api:Invoke", "Effect": "Allow", "Resource": stage(&request.method_arn) }],
        },
        "context": context,
    }))
}

/// The credential of `Authorization: Bearer …`.
fn credential(request: &Request) -> Option<&str> {
    let headers = request.headers.iter().flatten();
    let (_, value) = headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    let (scheme, credential) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}

/// Every method of the stage: `arn:aws:execute-api:us-east-1:123456789012:api/live/GET/v1/things` becomes `…:api/live/*`.
fn stage(method_arn: &str) -> String {
    let mut parts = method_arn.splitn(3, '/');
    let (api, stage) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{api}/{stage}/*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_name_and_scheme_are_case_insensitive() {
        let found = |name: &str, value: &str| {
            let headers = Some(BTreeMap::from([(name.to_owned(), value.to_owned())]));
            credential(&Request { method_arn: String::new(), headers }).map(str::to_owned)
        };
        for (name, value) in [("Authorization", "Bearer k"), ("authorization", "bearer  k "), ("AUTHORIZATION", " BEARER k")] {
            assert_eq!(found(name, value).as_deref(), Some("k"), "{name}: {value}");
        }
        for (name, value) in [("Authorization", "k"), ("Authorization", "Basic k"), ("X-Authorization", "Bearer k")] {
            assert_eq!(found(name, value), None, "{name}: {value}");
        }
    }

    #[test]
    fn policy_is_for_the_whole_stage() {
        let arn = "arn:aws:execute-api:us-east-1:123456789012:abc/live/GET/v1/generations/gen_1";
        assert_eq!(stage(arn), "arn:aws:execute-api:us-east-1:123456789012:abc/live/*");
    }
}
