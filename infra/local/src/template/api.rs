//! `AWS::Serverless::Api`: who may call it, and what API Gateway itself answers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    known,
    resolve::{Resolver, entries, plain},
};

/// API Gateway keeps an authorizer's answer for this long, unless told.
const TTL_SECONDS_DEFAULT: u64 = 300;

/// What the template says of its API.
#[derive(Clone, Debug, Default)]
pub struct HostedApi {
    /// The authorizer of every route; `None`: the API has none, or AWS's own.
    pub authorizer: Option<HostedAuthorizer>,
    /// What API Gateway answers without a function, by the kind of it: `UNAUTHORIZED` ….
    pub answers: BTreeMap<String, GatewayAnswer>,
}

/// A Lambda authorizer of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedAuthorizer {
    /// The function's ARN.
    pub function: String,
    /// The header that the caller is known by.
    pub header: String,
    /// How long an answer is kept.
    pub ttl: Duration,
}

/// A gateway response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers, by name.
    pub headers: BTreeMap<String, String>,
    /// The body, with `$context.…` in it.
    pub body: String,
}

pub fn read(resolver: &Resolver, resource: &Value) -> Result<HostedApi> {
    let properties = &resource["Properties"];
    let authorizer = authorizer(resolver, &properties["Auth"]).context("in `Auth`")?;
    let mut answers = BTreeMap::new();
    let own_words = |(_, answer): &(&String, &Value)| answer.get("ResponseTemplates").is_some();
    for (kind, answer) in entries(&properties["GatewayResponses"]).filter(own_words) {
        let read = || -> Result<GatewayAnswer> {
            let status = plain(&resolver.resolve(&answer["StatusCode"])?)?.parse().context("StatusCode")?;
            let body = plain(&resolver.resolve(&answer["ResponseTemplates"]["application/json"])?)?;
            let mut headers = BTreeMap::new();
            for (name, value) in entries(&answer["ResponseParameters"]["Headers"]) {
                // A constant stands in quotes.
                headers.insert(name.clone(), plain(&resolver.resolve(value)?)?.trim_matches('\'').to_owned());
            }
            Ok(GatewayAnswer { status, headers, body })
        };
        answers.insert(kind.clone(), read().with_context(|| format!("gateway response `{kind}`"))?);
    }
    Ok(HostedApi { authorizer, answers })
}

fn authorizer(resolver: &Resolver, auth: &Value) -> Result<Option<HostedAuthorizer>> {
    let default = resolver.resolve(&auth["DefaultAuthorizer"])?;
    let Some(name) = default.as_str().filter(|name| *name != "AWS_IAM" && *name != "NONE") else { return Ok(None) };
    let authorizer = auth["Authorizers"].get(name).with_context(|| format!("there is no authorizer `{name}`"))?;
    known(authorizer, &["FunctionArn", "FunctionPayloadType", "Identity"], &["FunctionInvokeRole"])?;
    let identity = resolver.resolve(&authorizer["Identity"])?;
    known(&identity, &["Headers", "ReauthorizeEvery"], &[])?;
    let header = match (authorizer["FunctionPayloadType"].as_str(), identity["Headers"].as_array().map(Vec::as_slice)) {
        (Some("REQUEST"), Some([header])) => plain(header)?,
        _ => bail!("the local stack can only do an authorizer of requests, by one header"),
    };
    let seconds = match &identity["ReauthorizeEvery"] {
        Value::Null => TTL_SECONDS_DEFAULT,
        seconds => plain(seconds)?.parse().context("ReauthorizeEvery")?,
    };
    let function = plain(&resolver.resolve(&authorizer["FunctionArn"])?)?;
    Ok(Some(HostedAuthorizer { function, header, ttl: Duration::from_secs(seconds) }))
}

#[cfg(test)]
mod tests {
    use super::super::Template;
    use super::*;

    const YAML: &str = r#"
Parameters: { Ttl: { Type: Number, Default: 60 } }
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      Auth:
        DefaultAuthorizer: Keys
        Authorizers:
          Keys: { FunctionArn: !GetAtt F.Arn, FunctionPayloadType: REQUEST, Identity: { Headers: [X-Key], ReauthorizeEvery: !Ref Ttl } }
      GatewayResponses:
        UNAUTHORIZED: { StatusCode: 401, ResponseParameters: { Headers: { A: "'b'" } }, ResponseTemplates: { application/json: "{}" } }
  F: { Type: AWS::Serverless::Function, Properties: { Handler: f } }
"#;

    #[test]
    fn an_authorizer_is_read_with_its_header_and_how_long_it_is_trusted() {
        let api = Template::read(YAML).unwrap().api;
        let function = "arn:aws:lambda:us-east-1:000000000000:function:F".to_owned();
        let expected = HostedAuthorizer { function, header: "X-Key".into(), ttl: Duration::from_mins(1) };
        assert_eq!(api.authorizer, Some(expected));
        let headers = BTreeMap::from([("A".into(), "b".into())]);
        assert_eq!(api.answers["UNAUTHORIZED"], GatewayAnswer { status: 401, headers, body: "{}".into() });
    }

    #[test]
    fn an_authorizer_that_cannot_be_hosted_is_refused() {
        for (from, to, named) in [
            ("Headers: [X-Key]", "Headers: [A, B]", "one header"),
            ("REQUEST", "TOKEN", "authorizer of requests"),
            ("DefaultAuthorizer: Keys", "DefaultAuthorizer: Other", "`Other`"),
            ("Headers: [X-Key]", "Context: [a]", "`Context`"),
        ] {
            let message = format!("{:#}", Template::read(&YAML.replace(from, to)).unwrap_err());
            assert!(message.contains(named), "{message}");
        }
    }
}
