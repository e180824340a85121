//! `authorize`, the authorizer that API Gateway invokes. API Gateway caches its policy by the header alone, so the policy is for
//! the whole stage; the functions check the scopes of their routes.

use std::collections::BTreeMap;

use lambda_runtime::{Error, LambdaEvent};
use longhand::access::grant::Grant;
use longhand::access::read_token::{Claims, Reads};
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
    query_string_parameters: Option<BTreeMap<String, String>>,
}

/// Returns a policy for the whole stage, and a context that identifies the caller.
///
/// # Errors
/// `Unauthorized`; or the payload is no request, or the keys cannot be loaded, and API Gateway answers 500.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    // serde's error may quote the payload, with the credential.
    let request = Request::deserialize(&event.payload).map_err(|_| "the payload must be an authorizer's request")?;
    let credential = credential(&request).ok_or(UNAUTHORIZED)?;
    let grant = app.authorize(credential.text).await?.filter(|grant| credential.may_be(grant)).ok_or(UNAUTHORIZED)?;
    let principal = grant.key.as_ref().map_or("token", KeyId::as_str);
    // API Gateway rejects a context with lists or null.
    let mut context = json!({ "organization": grant.organization, "scopes": grant.scopes.to_string() });
    let reads = grant.reads.map(|reads| match reads {
        Reads::Generation(id) => ("generation", id.to_string()),
        Reads::Batch(id) => ("batch", id.to_string()),
        Reads::Run(id) => ("run", id.to_string()),
        Reads::Inbox(user) => ("inbox", user.to_string()),
        Reads::Organization(scope) => ("reads", scope.to_string()),
    });
    if let Some((name, value)) = reads {
        // While functions are being replaced, one that knows only tokens of a generation must refuse the others.
        context["generation"] = "none".into();
        context[name] = value.into();
    }
    for (name, value) in [
        ("key", grant.key.as_ref().map(ToString::to_string)),
        ("user", grant.user.map(|user| user.to_string())),
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

/// A credential, and where the request has it.
#[derive(Debug, PartialEq, Eq)]
struct Credential<'a> {
    text: &'a str,
    is_in_query: bool,
}

impl Credential<'_> {
    /// Whether the credential may stand where it stands: a query may be logged on its way, so it holds no API key, and no token that
    /// reads more than one thing.
    fn may_be(&self, grant: &Grant) -> bool {
        !self.is_in_query || grant.reads.as_ref().is_some_and(|reads| !matches!(reads, Reads::Organization(_)))
    }
}

/// The credential of `Authorization: Bearer …`; without that header, the read token of `?token=…`. API Gateway asks about a request
/// without the header only at the routes whose authorizer has no identity source.
fn credential(request: &Request) -> Option<Credential<'_>> {
    let mut headers = request.headers.iter().flatten();
    let Some((_, value)) = headers.find(|(name, _)| name.eq_ignore_ascii_case("authorization")) else {
        let text = request.query_string_parameters.as_ref()?.get("token")?;
        // An API key is not even looked up.
        return Claims::may_be(text).then_some(Credential { text, is_in_query: true });
    };
    let (scheme, text) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Credential { text: text.trim(), is_in_query: false })
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
            credential(&Request { method_arn: String::new(), headers, query_string_parameters: None })
                .map(|found| found.text.to_owned())
        };
        for (name, value) in [("Authorization", "Bearer k"), ("authorization", "bearer  k "), ("AUTHORIZATION", " BEARER k")] {
            assert_eq!(found(name, value).as_deref(), Some("k"), "{name}: {value}");
        }
        for (name, value) in [("Authorization", "k"), ("Authorization", "Basic k"), ("X-Authorization", "Bearer k")] {
            assert_eq!(found(name, value), None, "{name}: {value}");
        }
    }

    #[test]
    fn query_holds_read_tokens_only() {
        let found = |headers: &[(&str, &str)], token: &str| {
            let map = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            let headers = Some(headers.iter().copied().map(map).collect());
            let query_string_parameters = Some(BTreeMap::from([map(("token", token))]));
            credential(&Request { method_arn: String::new(), headers, query_string_parameters })
                .map(|found| found.text.to_owned())
        };
        assert_eq!(found(&[], "lht_x.y").as_deref(), Some("lht_x.y"));
        assert_eq!(found(&[("Authorization", "Bearer k")], "lht_x.y").as_deref(), Some("k"), "the header goes first");
        assert_eq!(found(&[("Authorization", "Basic k")], "lht_x.y"), None, "and a wrong one is not ignored");
        for other in ["", "lh_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"] {
            assert_eq!(found(&[], other), None, "{other}");
        }
    }

    #[test]
    fn policy_is_for_the_whole_stage() {
        let arn = "arn:aws:execute-api:us-east-1:123456789012:abc/live/GET/v1/generations/gen_1";
        assert_eq!(stage(arn), "arn:aws:execute-api:us-east-1:123456789012:abc/live/*");
    }
}
