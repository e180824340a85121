//! `AWS::Serverless::Api` resources: the authorizer and the gateway responses.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    check_properties,
    resolve::{Resolver, entries, plain},
};

/// API Gateway's default for `ReauthorizeEvery`.
const TTL_SECONDS_DEFAULT: u64 = 300;

/// The API's settings.
#[derive(Clone, Debug, Default)]
pub struct HostedApi {
    /// The Lambda authorizers by name.
    pub authorizers: BTreeMap<String, HostedAuthorizer>,
    /// The authorizer of the routes that name none; `None`: the API has none, or uses IAM.
    pub default_authorizer: Option<String>,
    /// The origin whose pages may call the API; `*` for all.
    pub cors_origin: Option<String>,
    /// API Gateway's own responses by type, such as `UNAUTHORIZED`.
    pub answers: BTreeMap<String, GatewayAnswer>,
}

/// A Lambda authorizer of type `REQUEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedAuthorizer {
    /// The function's ARN.
    pub function: String,
    /// The header that a request must have; `None`: every request is authorized by the function.
    pub header: Option<String>,
    /// How long an authorizer's response is cached.
    pub ttl: Duration,
}

/// A gateway response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers by name.
    pub headers: BTreeMap<String, String>,
    /// The body template, in which `$context.requestId` is replaced.
    pub body: String,
}

pub fn read(resolver: &Resolver, resource: &Value) -> Result<HostedApi> {
    let properties = &resource["Properties"];
    let default = resolver.resolve(&properties["Auth"]["DefaultAuthorizer"])?;
    let default_authorizer = default.as_str().filter(|name| *name != "AWS_IAM" && *name != "NONE").map(str::to_owned);
    let mut authorizers = BTreeMap::new();
    for (name, value) in entries(&properties["Auth"]["Authorizers"]) {
        authorizers.insert(name.clone(), authorizer(resolver, value).with_context(|| format!("authorizer `{name}`"))?);
    }
    let mut answers = BTreeMap::new();
    let has_template = |(_, answer): &(&String, &Value)| answer.get("ResponseTemplates").is_some();
    for (kind, answer) in entries(&properties["GatewayResponses"]).filter(has_template) {
        let read = || -> Result<GatewayAnswer> {
            let status = plain(&resolver.resolve(&answer["StatusCode"])?)?.parse().context("StatusCode")?;
            let body = plain(&resolver.resolve(&answer["ResponseTemplates"]["application/json"])?)?;
            let mut headers = BTreeMap::new();
            for (name, value) in entries(&answer["ResponseParameters"]["Headers"]) {
                // API Gateway takes constants in single quotes.
                match resolver.resolve(value)? {
                    Value::Null => {}
                    value => drop(headers.insert(name.clone(), plain(&value)?.trim_matches('\'').to_owned())),
                }
            }
            Ok(GatewayAnswer { status, headers, body })
        };
        answers.insert(kind.clone(), read().with_context(|| format!("gateway response `{kind}`"))?);
    }
    let origin = resolver.resolve(&properties["Cors"]["AllowOrigin"]).context("in `Cors`")?;
    let cors_origin = origin.as_str().map(|origin| origin.trim_matches('\'').to_owned());
    Ok(HostedApi { authorizers, default_authorizer, cors_origin, answers })
}

impl HostedApi {
    /// The name of the authorizer of a route that names `named`; `None`: the API has none.
    ///
    /// # Errors
    /// There is no such authorizer.
    pub fn authorizer_of<'a>(&'a self, named: Option<&'a str>) -> Result<Option<&'a str>> {
        let name = named.or(self.default_authorizer.as_deref());
        if let Some(name) = name.filter(|name| !self.authorizers.contains_key(*name)) {
            bail!("there is no authorizer `{name}`");
        }
        Ok(name)
    }
}

fn authorizer(resolver: &Resolver, authorizer: &Value) -> Result<HostedAuthorizer> {
    check_properties(authorizer, &["FunctionArn", "FunctionPayloadType", "Identity"], &["FunctionInvokeRole"])?;
    let identity = resolver.resolve(&authorizer["Identity"])?;
    check_properties(&identity, &["Headers", "ReauthorizeEvery"], &[])?;
    let seconds = match &identity["ReauthorizeEvery"] {
        Value::Null => TTL_SECONDS_DEFAULT,
        seconds => plain(seconds)?.parse().context("ReauthorizeEvery")?,
    };
    let header = match (authorizer["FunctionPayloadType"].as_str(), identity["Headers"].as_array().map(Vec::as_slice)) {
        (Some("REQUEST"), Some([header])) => Some(plain(header)?),
        // API Gateway caches by the identity source, so it needs one to cache.
        (Some("REQUEST"), None) if seconds == 0 => None,
        _ => bail!("the local stack supports only authorizers of type REQUEST with one header, or without a cache"),
    };
    let function = plain(&resolver.resolve(&authorizer["FunctionArn"])?)?;
    Ok(HostedAuthorizer { function, header, ttl: Duration::from_secs(seconds) })
}

#[cfg(test)]
mod tests {
    use super::super::Template;
    use super::*;

    const YAML: &str = r#"
Parameters: { Ttl: { Type: Number, Default: 60 } }
Conditions: { Never: !Equals [a, b] }
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      Auth:
        DefaultAuthorizer: Keys
        Authorizers:
          Keys: { FunctionArn: !GetAtt F.Arn, FunctionPayloadType: REQUEST, Identity: { Headers: [X-Key], ReauthorizeEvery: !Ref Ttl } }
          Any: { FunctionArn: !GetAtt F.Arn, FunctionPayloadType: REQUEST, Identity: { ReauthorizeEvery: 0 } }
      Cors: { AllowOrigin: !If [Never, "'https://app.example'", !Ref "AWS::NoValue"] }
      GatewayResponses:
        UNAUTHORIZED: { StatusCode: 401, ResponseParameters: { Headers: { A: "'b'", C: !If [Never, d, !Ref "AWS::NoValue"] } }, ResponseTemplates: { application/json: "{}" } }
  F: { Type: AWS::Serverless::Function, Properties: { Handler: f } }
"#;

    #[test]
    fn authorizer_and_gateway_responses_parse() {
        let api = Template::read(YAML).unwrap().api;
        let function = "arn:aws:lambda:us-east-1:000000000000:function:F".to_owned();
        let keys = HostedAuthorizer { function: function.clone(), header: Some("X-Key".into()), ttl: Duration::from_mins(1) };
        let any = HostedAuthorizer { function, header: None, ttl: Duration::ZERO };
        assert_eq!(api.authorizers, BTreeMap::from([("Keys".to_owned(), keys), ("Any".to_owned(), any)]));
        for (named, name) in [(None, Some("Keys")), (Some("Any"), Some("Any"))] {
            assert_eq!(api.authorizer_of(named).unwrap(), name);
        }
        assert!(api.authorizer_of(Some("Other")).is_err());
        assert_eq!(api.cors_origin, None);
        let headers = BTreeMap::from([("A".into(), "b".into())]);
        assert_eq!(api.answers["UNAUTHORIZED"], GatewayAnswer { status: 401, headers, body: "{}".into() });
    }

    #[test]
    fn unsupported_authorizer_is_rejected() {
        for (from, to, named) in [
            ("Headers: [X-Key]", "Headers: [A, B]", "one header"),
            ("REQUEST", "TOKEN", "type REQUEST"),
            ("ReauthorizeEvery: 0", "ReauthorizeEvery: 1", "without a cache"),
            ("Headers: [X-Key]", "Context: [a]", "`Context`"),
        ] {
            let message = format!("{:#}", Template::read(&YAML.replace(from, to)).unwrap_err());
            assert!(message.contains(named), "{message}");
        }
    }
}
