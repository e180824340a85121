//! `authorize`, by API Gateway: the authorizer of requests. Its answer holds for the whole stage, because API Gateway keeps it
//! by the header alone; what a scope allows is decided where the routes are.

use std::collections::BTreeMap;

use lambda_runtime::{Error, LambdaEvent};
use longhand::{App, KeyId};
use serde::Deserialize;
use serde_json::{Value, json};

/// What API Gateway makes a 401 of, word for word.
const UNAUTHORIZED: &str = "Unauthorized";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method_arn: String,
    headers: Option<BTreeMap<String, String>>,
}

/// Answers with a policy for the whole stage, and who calls.
///
/// # Errors
/// `Unauthorized`; or the payload is no request, or the keys cannot be read, and API Gateway answers 500.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    // What serde says of a wrong payload may quote it, and the credential with it.
    let request = Request::deserialize(&event.payload).map_err(|_| "the payload must be an authorizer's request")?;
    let grant = match credential(&request) {
        Some(credential) => app.authorize(credential).await?,
        None => None,
    };
    let grant = grant.ok_or(UNAUTHORIZED)?;
    let who = grant.key.as_ref().map_or("token", KeyId::as_str);
    // Texts alone: API Gateway takes no lists, and no null.
    let mut context = json!({ "organization": grant.organization, "scopes": grant.scopes.to_string() });
    for (name, said) in [
        ("key", grant.key.as_ref().map(ToString::to_string)),
        ("generation", grant.generation.map(|generation| generation.to_string())),
        ("valid_until", grant.valid_until.map(|until| until.to_string())),
    ] {
        if let Some(said) = said {
            context[name] = said.into();
        }
    }
    Ok(json!({
        "principalId": who,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{ "Action": "execute-api:Invoke", "Effect": "Allow", "Resource": stage(&request.method_arn) }],
        },
        "context": context,
    }))
}

/// What `Authorization: Bearer …` holds.
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
    fn the_credential_is_found_under_any_spelling_of_its_header() {
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
    fn a_policy_is_for_the_whole_stage() {
        let arn = "arn:aws:execute-api:us-east-1:123456789012:abc/live/GET/v1/generations/gen_1";
        assert_eq!(stage(arn), "arn:aws:execute-api:us-east-1:123456789012:abc/live/*");
    }
}
